#!/usr/bin/env bash
# What `make doctor-aws`, `deploy-cloud`, `logs-cloud` and `destroy-cloud` do. Nothing is changed by doctor and logs.
#
# AWS_PROFILE and AWS_REGION are as of the AWS command line. Settings are in terraform.tfvars beside this file.
set -euo pipefail
cd "$(dirname "$0")"
[ -f "${TF_CLI_CONFIG_FILE:-/dev/null}" ] || unset TF_CLI_CONFIG_FILE
export TF_IN_AUTOMATION=1 AWS_PAGER=
answer_seconds=${ANSWER_SECONDS:-20}
fail() { echo "cloud: $*" >&2; exit 1; }

# Prints a line for each thing that is needed, and ends with 1 if one is not there.
doctor() {
  local missing=0 identity region version
  good() { echo "ok       $1"; }
  missing() { echo "MISSING  $1"; missing=$((missing + 1)); }
  if command -v terraform >/dev/null; then good "$(terraform version | head -n 1)"; else
    missing "terraform: https://developer.hashicorp.com/terraform/install"
  fi
  if ! version=$(aws --version 2>&1); then
    missing "aws, the AWS command line: https://docs.aws.amazon.com/cli/"
  else
    case $version in
      aws-cli/1.*) missing "version 2 of aws: this is 1, which cannot show logs: https://docs.aws.amazon.com/cli/" ;;
      *) good "${version%% *}" ;;
    esac
    if ! identity=$(timeout "$answer_seconds" aws sts get-caller-identity --query Arn --output text 2>&1); then
      missing "an identity: $(echo "$identity" | sed '/^$/d' | tail -n 1) Try: aws configure sso, or set AWS_PROFILE"
    elif [[ $identity == *:root ]]; then
      missing "an identity that is not root: $identity may do everything; make a role that may do this alone"
    else
      good "you are $identity"
    fi
    region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region 2>/dev/null || true)}}
    if [ -n "$region" ]; then good "region $region"; else missing "a region: export AWS_REGION=eu-central-1"; fi
  fi
  if [ -f terraform.tfvars ]; then good terraform.tfvars; else
    missing "terraform.tfvars: cp deploy/terraform/terraform.tfvars.example deploy/terraform/terraform.tfvars"
  fi
  if command -v session-manager-plugin >/dev/null; then good "session-manager-plugin"; else
    echo "without  session-manager-plugin: nobody can open a shell on the instance from here"
  fi
  [ $missing = 0 ] || { echo "doctor: $missing things are missing, see above"; return 1; }
}

# Of a deployment that is not there it is a warning, and no error.
output() {
  local value
  value=$(terraform output -no-color -raw "$1" 2>/dev/null) && [[ $value =~ ^[A-Za-z0-9/._-]+$ ]] && echo "$value"
}
deployed() { output instance_id >/dev/null || fail "nothing was deployed from here; make deploy-cloud"; }

# Has the instance run a command as root, and waits for its end.
remote() {
  local instance id status
  instance=$(output instance_id)
  id=$(aws ssm send-command --instance-ids "$instance" --document-name AWS-RunShellScript \
    --parameters "$(printf '{"commands":["%s"]}' "$1")" --query Command.CommandId --output text)
  for _ in $(seq 120); do
    sleep 5
    status=$(aws ssm get-command-invocation --command-id "$id" --instance-id "$instance" --query Status --output text 2>/dev/null || echo Pending)
    case $status in
      Pending | InProgress | Delayed) ;;
      *)
        aws ssm get-command-invocation --command-id "$id" --instance-id "$instance" --query '[StandardOutputContent,StandardErrorContent]' --output text
        [ "$status" = Success ] && return
        return 1 ;;
    esac
  done
  fail "the instance did not end within ten minutes: aws ssm get-command-invocation --command-id $id --instance-id $instance"
}

# The machine first, if there is none; then the archive, by the same way each time.
deploy() {
  local archive key sha256 instance
  doctor || fail "see what is missing above"
  archive=$(cd ../.. && deploy/pack.sh)
  archive=../../$archive
  sha256=$(sha256sum "$archive" | cut -d' ' -f1)
  key=archives/$(basename "$archive")
  terraform init -input=false
  terraform apply -input=false ${YES:+-auto-approve}
  aws s3 cp --only-show-errors "$archive" "s3://$(output bucket)/$key"
  instance=$(output instance_id)
  echo "waiting for $instance to have started for the first time"
  for _ in $(seq 60); do
    [ "$(aws ssm describe-instance-information --filters "Key=InstanceIds,Values=$instance" \
      --query 'InstanceInformationList[0].PingStatus' --output text)" != Online ] || break
    sleep 10
  done
  remote "cloud-init status --wait && metarecord-fetch '$key' '$sha256' && systemctl enable --now metarecord-backup.timer"
  echo "deployed $(basename "$archive") to $instance, at $(output private_address):8000 within its network"
}

logs() {
  local group
  command -v terraform >/dev/null || fail "terraform is not here; make doctor-aws tells more"
  group=$(output log_group) || fail "nothing was deployed from here, so there are no logs; make deploy-cloud"
  [[ $(aws --version 2>&1) == aws-cli/2* ]] || fail "aws, version 2, is not here; make doctor-aws tells more"
  aws logs tail "$group" --since "${SINCE:-1h}" --format short "$@"
}

# The audit goes to the bucket first, which stays: Terraform does not remove a bucket that holds something.
destroy() {
  command -v terraform >/dev/null || fail "terraform is not here; make doctor-aws tells more"
  deployed
  local environment
  environment=$(output environment)
  [ "$environment" = dev ] || fail "this is $environment; only dev is destroyed by this"
  if [ "${CONFIRM:-}" != yes ]; then
    [ -t 0 ] || fail "nobody can be asked here; say CONFIRM=yes"
    read -r -p "The instance and its data will be gone for good. Type $environment: " answer
    [ "$answer" = "$environment" ] || fail "not confirmed"
  fi
  remote "systemctl stop metarecord && . /etc/metarecord/cloud && cd /var/lib/private/metarecord && g3n journal head --data-dir . --output json >audit/head.json && PATH=\$PATH:/snap/bin aws s3 cp --recursive --only-show-errors audit s3://\$BUCKET/backups/audit-\$(date -u +%Y%m%dT%H%M%SZ)" ||
    fail "the audit could not be archived, so nothing was destroyed"
  terraform destroy -input=false -auto-approve \
    -target=aws_volume_attachment.data -target=aws_instance.server -target=aws_ebs_volume.data
  echo "the instance and its volume are gone; the bucket $(output bucket) with the audit and the backups stays, and so do the logs"
}

case ${1:-} in
  doctor) doctor ;;
  deploy) deploy ;;
  logs) logs ${FOLLOW:+--follow} ;;
  destroy) destroy ;;
  *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
