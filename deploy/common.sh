# shellcheck shell=sh
# What deploy.sh and undeploy.sh share. Sourced, with set -eu.

say() { printf '%s\n' "$*"; }

# fail WHAT FIX names what is wrong and what to do, and stops.
fail() {
  printf 'error: %s\n  fix: %s\n' "$1" "$2" >&2
  exit 1
}

# matches PATTERN TEXT: the whole of a text of one line fits an extended regular expression.
matches() {
  case $2 in
    *'
'*) return 1 ;;
  esac
  printf '%s\n' "$2" | grep -Eqx -- "$1"
}

# ask NAME QUESTION sets a variable that is not set, on a terminal.
ask() {
  eval "answer=\${$1:-}"
  if [ -z "$answer" ] && [ -t 0 ]; then
    printf '%s (%s): ' "$1" "$2"
    IFS= read -r answer
  fi
  [ -n "$answer" ] || fail "$1 is missing: $2" "set $1=..."
  eval "$1=\$answer"
}

# offer NAME QUESTION asks for a variable that is not set, on a terminal and without YES=1. No answer is one.
offer() {
  eval "answer=\${$1+given}"
  if [ -z "$answer" ] && [ "${YES:-}" != 1 ] && [ -t 0 ]; then
    printf '%s (%s): ' "$1" "$2"
    IFS= read -r answer
    eval "$1=\$answer"
  fi
}

# confirm QUESTION: yes on a terminal, or YES=1.
confirm() {
  [ "${YES:-}" != 1 ] || return 0
  [ -t 0 ] || fail "nobody is there to ask: $1" "set YES=1 if you mean it"
  printf '%s [y/N] ' "$1"
  IFS= read -r answer
  case $answer in
    y | Y | yes) return 0 ;;
  esac
  return 1
}

need_aws() {
  command -v aws >/dev/null || fail "the AWS CLI is not installed" "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
}

# check_account sets account, caller and REGION.
check_account() {
  REGION=${REGION:-${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}}
  ask REGION "AWS Region, such as eu-central-1"
  matches '[a-z]{2,}(-[a-z]+)+-[0-9]+' "$REGION" || fail "REGION '$REGION' is no Region" "use a name such as eu-central-1"
  AWS_REGION=$REGION AWS_DEFAULT_REGION=$REGION
  export AWS_REGION AWS_DEFAULT_REGION
  if ! identity=$(aws sts get-caller-identity --query '[Account,Arn]' --output text 2>&1); then
    case $identity in
      *'Could not connect to the endpoint'*) fail "AWS does not answer in $REGION" "check that there is a Region of that name, and your network" ;;
      *xpired*) fail "your AWS credentials have expired" "log in again, with aws sso login or as you did before" ;;
      *) fail "no AWS credentials that work: $identity" "aws configure, aws sso login, or set AWS_PROFILE" ;;
    esac
  fi
  # shellcheck disable=SC2034 # both are for the scripts
  account=$(printf '%s\n' "$identity" | awk '{print $1}') caller=$(printf '%s\n' "$identity" | awk '{print $2}')
}

# look_at_stack reads the outputs and parameters of STACK, for output and stack_parameter: all at once, since every
# start of the AWS CLI takes a second.
look_at_stack() {
  facts=$(aws cloudformation describe-stacks --stack-name "$STACK" --output text --query \
    "Stacks[0].[Outputs[].['output',OutputKey,OutputValue],Parameters[].['parameter',ParameterKey,ParameterValue]][]")
}

# output NAME prints what the stack tells of itself, stack_parameter NAME what it was given; nothing if it has no such.
output() { fact output "$1"; }
stack_parameter() { fact parameter "$1"; }
fact() { printf '%s\n' "$facts" | awk -F '\t' -v kind="$1" -v name="$2" '$1 == kind && $2 == name {print $3}'; }

# stack_status prints the state of STACK, or none.
stack_status() {
  if state=$(aws cloudformation describe-stacks --stack-name "$STACK" --query 'Stacks[0].StackStatus' --output text 2>&1); then
    printf '%s\n' "$state"
  else
    case $state in
      *'does not exist'*) echo none ;;
      *) fail "the stack $STACK cannot be looked at: $state" "get the right cloudformation:DescribeStacks" ;;
    esac
  fi
}
