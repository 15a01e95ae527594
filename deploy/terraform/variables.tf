# What differs from one deployment to the next. Nothing here is a secret.

variable "region" {
  description = "The AWS region."
  type        = string
}

variable "environment" {
  description = "What the deployment is for; `make destroy-cloud` takes down dev alone."
  type        = string
  default     = "dev"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.environment))
    error_message = "An environment is 2 to 16 lower case letters, digits and dashes."
  }
}

variable "vpc_id" {
  description = "The network; empty for the account's default one."
  type        = string
  default     = ""
}

variable "subnet_id" {
  description = "The subnet; empty for the first of the network. It needs a way to the internet or endpoints for S3, SSM and CloudWatch."
  type        = string
  default     = ""
}

variable "instance_type" {
  description = "The machine. The archive that is deployed must be made for its kind of processor."
  type        = string
  default     = "t3.small"
}

variable "data_gib" {
  description = "Size of the volume with the data, in GiB. It can grow, and not shrink."
  type        = number
  default     = 20

  validation {
    condition     = var.data_gib >= 8 && var.data_gib <= 16384
    error_message = "From 8 to 16384 GiB."
  }
}

variable "callers" {
  description = "Networks (CIDR) that may reach the gateway. Empty: nobody but this machine itself, by a session of SSM."
  type        = list(string)
  default     = []
}

variable "backups_kept_days" {
  description = "How long backups that were replaced or removed are kept in the bucket."
  type        = number
  default     = 30
}

variable "logs_kept_days" {
  description = "How long CloudWatch keeps the logs."
  type        = number
  default     = 7
}

variable "archive_key" {
  description = "Name in the bucket of the archive that a new instance installs; empty for none yet."
  type        = string
  default     = ""
}

variable "archive_sha256" {
  description = "That archive's hash."
  type        = string
  default     = ""
}
