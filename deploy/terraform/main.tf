# One small instance with a volume for its data, and a bucket for archives and backups. Operators come in by SSM: there is
# no port for ssh, and none for the operators' address.

locals {
  name   = "metarecord-${var.environment}"
  vpc_id = var.vpc_id != "" ? var.vpc_id : one(data.aws_vpc.default[*].id)
  subnet = var.subnet_id != "" ? var.subnet_id : sort(data.aws_subnets.all.ids)[0]
  # A volume and its instance are in the same zone.
  zone = data.aws_subnet.chosen.availability_zone
}

data "aws_caller_identity" "current" {}

data "aws_vpc" "default" {
  count   = var.vpc_id == "" ? 1 : 0
  default = true
}

data "aws_subnets" "all" {
  filter {
    name   = "vpc-id"
    values = [local.vpc_id]
  }
}

data "aws_subnet" "chosen" {
  id = local.subnet
}

# Ubuntu has the agent of SSM, and a C library as new as the one that archives are made with.
data "aws_ssm_parameter" "image" {
  name = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
}

# --- The bucket: archives to install, backups to keep ---

resource "aws_s3_bucket" "store" {
  bucket = "${local.name}-${data.aws_caller_identity.current.account_id}-${var.region}"
}

resource "aws_s3_bucket_public_access_block" "store" {
  bucket                  = aws_s3_bucket.store.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "store" {
  bucket = aws_s3_bucket.store.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "store" {
  bucket = aws_s3_bucket.store.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "store" {
  bucket = aws_s3_bucket.store.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
    bucket_key_enabled = true
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "store" {
  bucket     = aws_s3_bucket.store.id
  depends_on = [aws_s3_bucket_versioning.store]

  rule {
    id     = "what-was-replaced"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.backups_kept_days
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }
}

data "aws_iam_policy_document" "only_tls" {
  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.store.arn, "${aws_s3_bucket.store.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "store" {
  bucket     = aws_s3_bucket.store.id
  policy     = data.aws_iam_policy_document.only_tls.json
  depends_on = [aws_s3_bucket_public_access_block.store]
}

# --- Logs ---

resource "aws_cloudwatch_log_group" "server" {
  name              = "/metarecord/${var.environment}"
  retention_in_days = var.logs_kept_days
}

# --- Who the instance is, and what it may do ---

data "aws_iam_policy_document" "is_instance" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "server" {
  name               = local.name
  assume_role_policy = data.aws_iam_policy_document.is_instance.json
}

# It reads archives, and writes backups and reads them back. It removes nothing: a server that was broken into cannot take
# its backups along.
data "aws_iam_policy_document" "server" {
  statement {
    sid       = "ReadArchives"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.store.arn}/archives/*"]
  }

  statement {
    sid       = "WriteBackups"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.store.arn}/backups/*"]
  }

  statement {
    sid       = "ListBackups"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.store.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["backups/*"]
    }
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    resources = ["${aws_cloudwatch_log_group.server.arn}:*"]
  }
}

resource "aws_iam_role_policy" "server" {
  name   = local.name
  role   = aws_iam_role.server.id
  policy = data.aws_iam_policy_document.server.json
}

resource "aws_iam_role_policy_attachment" "ssm" {
  role       = aws_iam_role.server.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "server" {
  name = local.name
  role = aws_iam_role.server.name
}

# --- Who reaches it ---

resource "aws_security_group" "server" {
  name        = local.name
  description = "The gateway for those who may call it; no ssh, and nothing of the operators."
  vpc_id      = local.vpc_id
}

# TLS ends at a proxy or load balancer of yours in these networks.
resource "aws_vpc_security_group_ingress_rule" "gateway" {
  for_each          = toset(var.callers)
  security_group_id = aws_security_group.server.id
  description       = "The gateway"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 8000
  to_port           = 8000
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.server.id
  description       = "S3, SSM, CloudWatch, packages, and the keys of an identity provider"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "http" {
  security_group_id = aws_security_group.server.id
  description       = "Packages of Ubuntu, which are signed"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
}

# --- The machine ---

resource "aws_ebs_volume" "data" {
  availability_zone = local.zone
  size              = var.data_gib
  type              = "gp3"
  encrypted         = true

  tags = {
    Name = "${local.name}-data"
  }
}

resource "aws_instance" "server" {
  ami                    = data.aws_ssm_parameter.image.value
  instance_type          = var.instance_type
  subnet_id              = local.subnet
  vpc_security_group_ids = [aws_security_group.server.id]
  iam_instance_profile   = aws_iam_instance_profile.server.name

  user_data_replace_on_change = false
  user_data_base64 = base64gzip(templatefile("${path.module}/cloud-init.yaml.tftpl", {
    region         = var.region
    bucket         = aws_s3_bucket.store.id
    archive_key    = var.archive_key
    archive_sha256 = var.archive_sha256
    log_group      = aws_cloudwatch_log_group.server.name
    volume         = replace(aws_ebs_volume.data.id, "-", "")
    listen         = length(var.callers) > 0 ? "0.0.0.0:8000" : "127.0.0.1:8000"
    install        = base64encode(file("${path.module}/../systemd/install.sh"))
    fetch          = base64encode(file("${path.module}/fetch.sh"))
  }))

  # Only by requests that a forgetful proxy does not pass on.
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = 16
    encrypted   = true
  }

  # A newer image is for a new machine, and not for this one's next change.
  lifecycle {
    ignore_changes = [ami, user_data_base64]
  }

  tags = {
    Name = local.name
  }
}

resource "aws_volume_attachment" "data" {
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.data.id
  instance_id = aws_instance.server.id
  # The machine writes what it has before the volume goes.
  stop_instance_before_detaching = true
}
