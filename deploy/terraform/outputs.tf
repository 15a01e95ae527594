# What the scripts, and people, need to know of a deployment.

output "instance_id" {
  description = "The machine: aws ssm start-session --target ..."
  value       = aws_instance.server.id
}

output "private_address" {
  description = "Where the gateway is within its network, on port 8000."
  value       = aws_instance.server.private_ip
}

output "bucket" {
  description = "Archives and backups."
  value       = aws_s3_bucket.store.id
}

output "log_group" {
  description = "The logs."
  value       = aws_cloudwatch_log_group.server.name
}

output "environment" {
  description = "What it is for."
  value       = var.environment
}
