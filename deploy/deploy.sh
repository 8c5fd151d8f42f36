#!/bin/sh
# Deploys Keytrail to the AWS account of your credentials, or updates it: checks everything first, shows what
# would change, asks, and prints what to do next. On a terminal it asks for what is missing; otherwise give it as
# variables:
#
#   STACK       name of the stack, default keytrail
#   REGION      Region, default that of your AWS configuration
#   TAGNAME, TAGVALUE, USERNAME   tag and accounts of the hosts; an update keeps what the stack has
#   EMAIL       address that alerts are mailed to; it may be empty, and an update keeps what the stack has
#   ARCH        arm64 (default) or x86_64
#   BUCKET      bucket for the zips and the template, default keytrail-artifacts-ACCOUNT-REGION; made if missing
#   PARAMETERS  other parameters of the template, one Name=Value a line
#   ZIP, EVENTS_ZIP   zips of the function that rotates and of the one that watches, default those that
#               `make package` built
#   YES=1       make and deploy without asking
set -eu
LC_ALL=C
export LC_ALL AWS_PAGER=''
cd "$(dirname "$0")/.."
. deploy/common.sh

# 57: the functions are called STACK-rotate and STACK-events, and Lambda's names have 64 characters.
stack_pattern='[A-Za-z][A-Za-z0-9-]{0,56}'
tag_pattern='[A-Za-z0-9 _.:/=+@-]+'
user_pattern='[A-Za-z_][A-Za-z0-9_.-]{0,31}'
email_pattern='[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}'

check_input() {
  STACK=${STACK:-keytrail} ARCH=${ARCH:-arm64}
  matches "$stack_pattern" "$STACK" || fail "STACK '$STACK' is no stack name" "use a letter, then letters, digits and hyphens, at most 57 in all"
  case $ARCH in
    arm64) goarch=arm64 ;;
    x86_64) goarch=amd64 ;;
    *) fail "ARCH '$ARCH' is no processor of Lambda" "use arm64 or x86_64" ;;
  esac
  ZIP=${ZIP:-build/rotate-$goarch.zip} EVENTS_ZIP=${EVENTS_ZIP:-build/events-$goarch.zip}
  for zip in "$ZIP" "$EVENTS_ZIP"; do
    [ -f "$zip" ] || fail "there is no zip $zip" "run make package"
    build/package -check "$goarch" "$zip" ||
      fail "$zip is not for ARCH $ARCH" "set ARCH to the processor it was built for, or ZIP and EVENTS_ZIP to the other zips"
  done
}

check_fleet() {
  [ "${YES:-}" = 1 ] || [ -t 0 ] || fail "nobody is there to ask" "set YES=1 if you mean it"
  if [ "$status" = none ]; then
    ask TAGNAME "key of the tag that the hosts have"
    ask TAGVALUE "value of that tag"
    ask USERNAME "accounts on the hosts, separated by spaces"
    if watching && [ -z "$(parameter AlertEmail)" ]; then
      offer EMAIL "address that alerts are mailed to, or nothing"
    fi
  fi
  for name in TAGNAME TAGVALUE; do
    eval "value=\${$name:-}"
    case $value in
      *,*) fail "$name '$value' has a comma, which no tag on AWS can have" "give the one tag that all hosts share" ;;
    esac
    [ -z "$value" ] || matches "$tag_pattern" "$value" ||
      fail "$name '$value' is no tag" "use letters, digits, spaces and _ . : / = + - @"
  done
  [ -z "${USERNAME:-}" ] || matches "$user_pattern([ ,]+$user_pattern)*" "$USERNAME" ||
    fail "USERNAME '$USERNAME' does not name accounts" "separate names such as ec2-user by spaces"
  [ -z "${EMAIL:-}" ] || matches "$email_pattern" "$EMAIL" ||
    fail "EMAIL '$EMAIL' is no address" "give one such as ops@example.com, or none"
}

# parameter NAME prints what PARAMETERS says of it.
parameter() {
  printf '%s\n' "${PARAMETERS:-}" | sed -n "s/^$1=//p"
}

# watching: nobody said that the stack is to watch nothing.
watching() { [ "$(parameter Watch)" != false ]; }

# check_services asks each service, which a stack that stands has done.
check_services() {
  [ "$status" = none ] || return 0
  set -- lambda secretsmanager ssm
  ! watching || set -- "$@" events sns sqs
  for service; do
    case $service in
      lambda) probe "$service" lambda:GetAccountSettings lambda get-account-settings ;;
      secretsmanager) probe "$service" secretsmanager:ListSecrets secretsmanager list-secrets --max-items 1 ;;
      ssm) probe "$service" ssm:DescribeInstanceInformation ssm describe-instance-information --max-items 1 ;;
      events) probe "$service" events:ListRules events list-rules --limit 1 ;;
      sns) probe "$service" sns:ListTopics sns list-topics --max-items 1 ;;
      sqs) probe "$service" sqs:ListQueues sqs list-queues --max-items 1 ;;
    esac
  done
}

# probe SERVICE RIGHT COMMAND... calls a service, to see that the Region has it and that we may.
probe() {
  probed=$1 right=$2
  shift 2
  if why=$(aws "$@" 2>&1 >/dev/null); then return; fi
  case $why in
    *'Could not connect to the endpoint'*) fail "the Region $REGION has no $probed, or your network does not reach it" "set REGION to a Region with Lambda, Secrets Manager, Systems Manager, EventBridge, SNS and SQS" ;;
    *AccessDenied* | *UnauthorizedOperation* | *'not authorized'*) fail "your credentials may not call $right" "get that right, or use others (AWS_PROFILE)" ;;
    *) fail "$probed does not answer: $why" "mend that and try again" ;;
  esac
}

check_stack() {
  status=$(stack_status)
  case $status in
    none | REVIEW_IN_PROGRESS | *_COMPLETE)
      case $status in
        ROLLBACK_COMPLETE | DELETE_COMPLETE)
          fail "the stack $STACK is in state $status: its creation failed, and CloudFormation can only delete it" "aws cloudformation delete-stack --region $REGION --stack-name $STACK, then try again" ;;
      esac ;;
    *_IN_PROGRESS)
      fail "the stack $STACK is in state $status" "wait until that is over, and try again" ;;
    UPDATE_ROLLBACK_FAILED)
      fail "the stack $STACK is in state $status" "aws cloudformation continue-update-rollback --region $REGION --stack-name $STACK, then try again" ;;
    *)
      fail "the stack $STACK is in state $status" "aws cloudformation delete-stack --region $REGION --stack-name $STACK (the register stays), then try again" ;;
  esac
  [ "$status" != REVIEW_IN_PROGRESS ] || status=none # a change set that nobody executed
}

# bucket_state NAME prints ours, free, elsewhere (in another Region) or taken.
bucket_state() {
  if why=$(aws s3api head-bucket --bucket "$1" --expected-bucket-owner "$account" 2>&1 >/dev/null); then
    echo ours
  else
    case $why in
      *404* | *'Not Found'* | *NoSuchBucket*) echo free ;;
      *301* | *'Moved Permanently'* | *400* | *'Bad Request'*) echo elsewhere ;;
      *403* | *Forbidden* | *AccessDenied*) echo taken ;;
      *) fail "the bucket $1 cannot be looked at: $why" "mend that and try again" ;;
    esac
  fi
}

check_buckets() {
  BUCKET=${BUCKET:-keytrail-artifacts-$account-$REGION}
  artifacts=$(bucket_state "$BUCKET")
  case $artifacts in
    taken) fail "the bucket $BUCKET belongs to someone else, or you may not see it" "set BUCKET to a name of your own" ;;
    elsewhere) fail "the bucket $BUCKET is not in $REGION" "set BUCKET to a bucket of that Region" ;;
  esac
  register=$(parameter BucketName)
  if [ -n "$register" ] && [ "$status" = none ]; then
    state=$(bucket_state "$register")
    [ "$state" = free ] ||
      fail "the bucket $register (BucketName) is taken" "leave BucketName out, choose another, or give ExistingBucket=$register if it is yours"
  fi
  kept=$(parameter ExistingBucket)
  if [ -n "$kept" ]; then
    state=$(bucket_state "$kept")
    [ "$state" = ours ] ||
      fail "the bucket $kept (ExistingBucket) is not there, or is not yours" "leave ExistingBucket out, and the stack makes a bucket"
  fi
  if [ -n "$kept" ] && [ "$status" = none ] && aws s3api get-bucket-policy --bucket "$kept" >/dev/null 2>&1; then
    fail "the bucket $kept (ExistingBucket) has a policy, which the stack would have to replace" "look at it, then aws s3api delete-bucket-policy --bucket $kept"
  fi
  secret=$(parameter FirstSecret)
  if [ -n "$secret" ] && [ "$status" = none ] && aws secretsmanager describe-secret --secret-id "$secret" >/dev/null 2>&1; then
    fail "the secret $secret (FirstSecret) is there already" "leave FirstSecret out, and attach the function to it afterwards"
  fi
}

# check_rights asks IAM whether the caller may make what the template has. Not everyone may ask.
check_rights() {
  case $caller in
    *:assumed-role/*)
      role=${caller#*:assumed-role/}
      principal=$(aws iam get-role --role-name "${role%%/*}" --query Role.Arn --output text 2>/dev/null) || principal='' ;;
    *:user/*) principal=$caller ;;
    *) return ;; # the account's root user
  esac
  set -- cloudformation:CreateChangeSet cloudformation:ExecuteChangeSet iam:CreateRole iam:PassRole iam:PutRolePolicy \
    lambda:AddPermission lambda:CreateAlias lambda:CreateFunction logs:CreateLogGroup logs:PutRetentionPolicy \
    cloudwatch:PutMetricAlarm ssm:CreateDocument s3:CreateBucket s3:PutBucketPolicy s3:PutBucketObjectLockConfiguration
  ! watching || set -- "$@" events:PutRule events:PutTargets lambda:CreateEventSourceMapping \
    lambda:PutFunctionEventInvokeConfig sns:CreateTopic sns:SetTopicAttributes sqs:CreateQueue sqs:SetQueueAttributes
  [ -z "${EMAIL:-}$(parameter AlertEmail)" ] || set -- "$@" sns:Subscribe
  [ -z "$(parameter SlackChannel)" ] || set -- "$@" chatbot:CreateSlackChannelConfiguration
  [ "$(parameter MakeTrail)" != true ] || set -- "$@" cloudtrail:CreateTrail cloudtrail:StartLogging
  [ "$(parameter KmsKey)" != create ] || set -- "$@" kms:CreateKey
  [ -z "$(parameter FirstSecret)" ] || set -- "$@" secretsmanager:CreateSecret secretsmanager:RotateSecret
  if [ -z "$principal" ] || ! denied=$(aws iam simulate-principal-policy --policy-source-arn "$principal" --action-names "$@" \
    --query "EvaluationResults[?EvalDecision!='allowed'].EvalActionName" --output text 2>/dev/null); then
    say "rights     not known: iam:SimulatePrincipalPolicy is not yours. CloudFormation will say what is missing."
    return
  fi
  case $denied in
    '' | None) say "rights     yes, as far as IAM can foresee" ;;
    *) fail "$principal may not: $denied" "get these rights, or use other credentials (AWS_PROFILE)" ;;
  esac
}

# check_concurrency: AWS keeps 100 of an account's concurrency unreserved.
check_concurrency() {
  reserve=$(parameter ReservedConcurrency)
  case $reserve in
    '' | 0) return ;;
    *[!0-9]*) fail "ReservedConcurrency '$reserve' is no number" "give 0 for none, or at least 10" ;;
  esac
  [ "$reserve" -ge 10 ] || fail "ReservedConcurrency $reserve is less than 10, with which Secrets Manager may repeat steps for ever" "give 0 for none, or at least 10"
  left=$(aws lambda get-account-settings --query AccountLimit.UnreservedConcurrentExecutions --output text)
  [ "$status" != none ] || [ "$((left - reserve))" -ge 100 ] ||
    fail "ReservedConcurrency $reserve leaves less than 100 of the $left that this account has" "leave it out, or have the quota raised"
}

count_hosts() {
  [ -n "${TAGNAME:-}" ] && [ -n "${TAGVALUE:-}" ] || return 0
  hosts=$(aws ssm describe-instance-information --filters "Key=tag:$TAGNAME,Values=$TAGVALUE" --query 'length(InstanceInformationList)' --output text 2>/dev/null | awk '{n += $1} END {print n + 0}')
  say "hosts      $hosts with $TAGNAME=$TAGVALUE are managed by Systems Manager in $REGION"
  [ "$hosts" -gt 0 ] || say "           No host: a rotation fails until there is one."
}

# package uploads the zips and writes the template that names them.
package() {
  if [ "$artifacts" = free ]; then
    confirm "Make the bucket $BUCKET for the zips and the template?" || {
      say "Nothing was made. BUCKET may name a bucket that you have."
      exit 1
    }
    aws s3 mb "s3://$BUCKET" >/dev/null
    aws s3api put-public-access-block --bucket "$BUCKET" --public-access-block-configuration \
      BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
  fi
  rm -rf build/deploy
  mkdir -p build/deploy
  cp "$ZIP" build/deploy/rotate.zip
  cp "$EVENTS_ZIP" build/deploy/events.zip
  sed 's|Code: \.\./build/\([a-z]*\)-arm64\.zip|Code: \1.zip|' deploy/template.yaml >build/deploy/template.yaml
  say "Uploading the code and the template."
  uploading "the code was not uploaded to $BUCKET" "mend that and run this again" \
    cloudformation package --template-file build/deploy/template.yaml --s3-bucket "$BUCKET" --s3-prefix keytrail \
    --output-template-file build/deploy/packaged.yaml >/dev/null
}

# uploading WHAT FIX COMMAND... calls a command that tells on stderr how far it is, many lines where nobody watches. They
# are left out, and the rest is shown if it fails.
uploading() {
  what=$1 fix=$2
  shift 2
  aws "$@" 2>build/deploy/progress || {
    tr '\r' '\n' <build/deploy/progress | grep -v '^Uploading to ' >&2 || true
    fail "$what" "$fix"
  }
}

# check_size holds the template, to which packaging adds little, against CloudFormation's limit for one from a bucket.
check_size() {
  size=$(wc -c <deploy/template.yaml | tr -d ' ')
  [ "$size" -le 1000000 ] || fail "the template has $size bytes, and CloudFormation takes 1 MB at most" "use the template as it was released"
}

make_change_set() {
  set -- "Architecture=$ARCH"
  [ -z "${TAGNAME:-}" ] || set -- "$@" "TagName=$TAGNAME"
  [ -z "${TAGVALUE:-}" ] || set -- "$@" "TagValue=$TAGVALUE"
  [ -z "${USERNAME:-}" ] || set -- "$@" "Users=$USERNAME"
  [ -z "${EMAIL:-}" ] || set -- "$@" "AlertEmail=$EMAIL"
  while IFS= read -r line; do
    [ -z "$line" ] || set -- "$@" "$line"
  done <<EOF
${PARAMETERS:-}
EOF
  made=$(uploading "CloudFormation does not take this" "mend that and run this again" \
    cloudformation deploy --no-execute-changeset --no-fail-on-empty-changeset --stack-name "$STACK" \
    --template-file build/deploy/packaged.yaml --s3-bucket "$BUCKET" --s3-prefix keytrail \
    --capabilities CAPABILITY_IAM --parameter-overrides "$@")
  change_set=$(printf '%s\n' "$made" | sed -n 's/.*--change-set-name \(arn:[^ ]*\).*/\1/p')
}

# show_changes prints a line for each resource, like ones together.
show_changes() {
  changes=$(aws cloudformation describe-change-set --change-set-name "$change_set" --output text \
    --query 'Changes[].ResourceChange.[Action,ResourceType,LogicalResourceId,Replacement]')
  say
  say "These resources would change (a bucket, a secret or a key is never deleted):"
  printf '%s\n' "$changes" | sort | awk -F '\t' '{
    replaced = $4 == "True" ? "  replaced" : $4 == "Conditional" ? "  perhaps replaced" : ""
    printf "  %-7s %-32s %s%s\n", $1, $2, $3, replaced
  }'
  say
}

execute() {
  show_changes
  if ! confirm "Deploy them to $STACK in $REGION of account $account?"; then
    aws cloudformation delete-change-set --change-set-name "$change_set"
    [ "$status" != none ] || aws cloudformation delete-stack --stack-name "$STACK" # it holds nothing yet
    say "Nothing was deployed."
    exit 1
  fi
  aws cloudformation execute-change-set --change-set-name "$change_set"
  say "Deploying; this takes a few minutes."
  verb=update again="run this again"
  if [ "$status" = none ]; then
    verb=create again="aws cloudformation delete-stack --region $REGION --stack-name $STACK, and run this again"
  fi
  if ! why=$(aws cloudformation wait "stack-$verb-complete" --stack-name "$STACK" 2>&1); then
    show_failures >&2
    fail "the deployment failed, and CloudFormation rolls it back" "mend the first of these, then $again"
  fi
}

# show_failures prints the reasons since the operation began, oldest first; CloudFormation tells the newest first, and
# the roll-back before what led to it.
show_failures() {
  happened=$(aws cloudformation describe-stack-events --stack-name "$STACK" --output text --max-items 500 \
    --query 'StackEvents[].[ResourceType,ResourceStatus,LogicalResourceId,ResourceStatusReason]')
  failures=$(printf '%s\n' "$happened" | awk -F '\t' '
    began { next }
    $1 == "AWS::CloudFormation::Stack" && $2 ~ /^(CREATE|UPDATE)_IN_PROGRESS$/ { began = 1 }
    $2 ~ /FAILED$/ && $4 !~ /cancelled/ { lines[++n] = "  " $3 ": " $4 }
    END { while (n) print lines[n--] }')
  say "${failures:-$why}"
}

# The function pins both documents by hash; Systems Manager must compute the same.
check_documents() {
  for kind in Apply Inspect; do
    name=$(output "${kind}Document") want=$(output "${kind}DocumentHash")
    have=$(aws ssm describe-document --name "$name" --query Document.Hash --output text)
    [ "$have" = "$want" ] || fail "the document $name has hash $have, and the function expects $want" "deploy again; if someone changed the document, find out who"
  done
}

# print_next tells how to go on, with either version of the AWS CLI.
print_next() {
  function=$(output RotateFunction) secret=$(output Secret)
  say
  say "Next:"
  say
  if [ -n "$secret" ]; then
    say "  # the stack's own secret is rotated: $secret"
    say "  # attach the function to another one (made with both values empty), which rotates it at once"
  else
    say "  # attach the function to a secret (made with both values empty), which rotates it at once"
  fi
  say "  aws secretsmanager create-secret --region $REGION --name NAME --secret-string '{\"PublicKey\":\"\",\"PrivateKey\":\"\"}'"
  say "  aws secretsmanager rotate-secret --region $REGION --secret-id NAME --rotation-rules ScheduleExpression='rate(30 days)' \\"
  say "    --rotation-lambda-arn $function"
  say
  say "  # see what it does (version 2 of the AWS CLI)"
  say "  aws logs tail --region $REGION --follow $(output LogGroup)"
  say
  say "  # compare hosts with a secret, and change nothing"
  say "  echo '{\"Action\":\"reconcile\",\"SecretId\":\"NAME\",\"DryRun\":true}' |"
  say "    aws lambda invoke --region $REGION --function-name $(output Reconcile) \\"
  say "      --payload fileb:///dev/stdin /dev/stdout"
  watcher=$(output EventsFunction)
  [ -z "$watcher" ] || print_watching
}

print_watching() {
  address=$(stack_parameter AlertEmail) topic=$(output AlertsTopic)
  say
  if [ -z "$address" ]; then
    say "  # nobody is told of alerts yet: have them mailed, and confirm the mail that asks for it"
    say "  aws sns subscribe --region $REGION --topic-arn $topic --protocol email --notification-endpoint ADDRESS"
  else
    if subscribed "$topic" "$address"; then
      say "  # alerts are mailed to $address; all who are told:"
    else
      say "  # confirm the subscription, in the mail that AWS sent to $address: no alert arrives before that. Look:"
    fi
    say "  aws sns list-subscriptions-by-topic --region $REGION --topic-arn $topic"
  fi
  say
  say "  # look at the hosts of every secret at once, and not at the next sweep"
  say "  echo '{\"id\":\"by-hand-'\$(date +%s)'\",\"source\":\"aws.events\",\"detail-type\":\"Scheduled Event\",\"account\":\"$account\",\"region\":\"$REGION\",\"time\":\"'\$(date -u +%FT%TZ)'\"}' |"
  say "    aws lambda invoke --region $REGION --function-name $watcher --invocation-type Event \\"
  say "      --payload fileb:///dev/stdin /dev/stdout"
  say
  say "  # see what it finds (version 2 of the AWS CLI)"
  say "  aws logs tail --region $REGION --follow $(output EventsLogGroup)"
}

# subscribed TOPIC ADDRESS: the address was confirmed. On a new stack it cannot be.
subscribed() {
  [ "$status" != none ] && case $(aws sns list-subscriptions-by-topic --topic-arn "$1" \
    --query "Subscriptions[?Endpoint=='$2'].SubscriptionArn" --output text 2>/dev/null) in
    *arn:*) true ;;
    *) false ;;
  esac
}

need_aws
check_input
check_account
say "account    $account, as $caller"
check_stack
say "stack      $STACK in $REGION, $(if [ "$status" = none ]; then echo new; else echo "$status"; fi)"
check_services
check_fleet
check_concurrency
check_size
check_buckets
say "code       $ZIP and $EVENTS_ZIP, for $ARCH"
say "bucket     $BUCKET for the code and the template$([ "$artifacts" = ours ] || echo ", which has to be made")"
check_rights
count_hosts
package
make_change_set
if [ -z "$change_set" ]; then
  say "Nothing to change: $STACK is as it should be."
  look_at_stack
else
  execute
  look_at_stack
  check_documents
  say "Deployed."
fi
print_next
