#!/bin/sh
# Deletes the stack that deploy.sh made, after asking. The bucket of the register, a first secret and a KMS key of
# the stack stay: hosts trust that key, and the register is the evidence of what they trusted. Nobody watches the hosts
# any more. Variables: STACK, REGION and YES, as for deploy.sh.
set -eu
LC_ALL=C
export LC_ALL AWS_PAGER=''
cd "$(dirname "$0")/.."
. deploy/common.sh

STACK=${STACK:-keytrail}

output() {
  aws cloudformation describe-stacks --stack-name "$STACK" --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue | [0]" --output text
}

need_aws
check_account
status=$(stack_status)
case $status in
  none) fail "there is no stack $STACK in $REGION of account $account" "set STACK and REGION to those that you deployed" ;;
  *_IN_PROGRESS) fail "the stack $STACK is in state $status" "wait until that is over, and try again" ;;
esac
bucket=$(output Bucket) secret=$(output Secret) key=$(output Key)

say "This deletes the functions, their roles and the documents of $STACK in $REGION of account $account, and the rules,"
say "queues and topics of what watches. Secrets that it rotates keep their keys, and are no longer rotated; nobody is"
say "told any more when hosts drift. These stay:"
[ "$bucket" = None ] || say "  bucket  $bucket, with the register"
[ "$secret" = None ] || say "  secret  $secret"
[ "$key" = None ] || say "  key     $key, which encrypts secrets"
confirm "Delete the stack?" || {
  say "Nothing was deleted."
  exit 1
}
aws cloudformation delete-stack --stack-name "$STACK"
aws cloudformation wait stack-delete-complete --stack-name "$STACK" ||
  fail "the stack $STACK was not deleted" "aws cloudformation describe-stack-events --region $REGION --stack-name $STACK"
say "Deleted."
[ "$bucket" = None ] || say "The bucket $bucket stays. To use its register again: make deploy PARAMETERS=ExistingBucket=$bucket"
