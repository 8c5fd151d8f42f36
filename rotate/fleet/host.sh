#!/bin/sh
# Keytrail's host script. It brings the authorized keys of some users of this
# host to a wanted state (apply), or only looks at them (inspect), and answers
# in two lines of JSON: a summary short enough for any listing, and the detail.
#
# It runs as root under the SSM agent, in any POSIX shell. What to do arrives in
# the variables SSM_*, which were checked before they were sent and are checked
# again below. It assumes no path: homes come from getent, key files from sshd's
# own effective settings, and what it must remember goes below root's home.
#
# Commands it relies on, each by bare name through the PATH that it was given:
#   awk cat chmod cksum cp date dd env flock getent head id ln ls mkdir mv rm
#   sh sleep sshd ssh-keygen tail tr; runuser, or else su
#   where they exist: timeout, and on SELinux hosts chcon and restorecon
#
# Exit status: 0 when an answer was printed, whatever it says; 64 when the
# parameters make no sense; any other means that no answer could be made.

set -fu
umask 077
LC_ALL=C
export LC_ALL
unset CDPATH ENV BASH_ENV TIME_STYLE QUOTING_STYLE POSIXLY_CORRECT
nl='
'
cd / || exit 1

# ---- Parameters -------------------------------------------------------------

# check NAME VALUE CHARACTERS: VALUE is not empty and holds only CHARACTERS.
check() {
    case $2 in
    '' | *[!$3]*)
        printf 'keytrail: parameter %s is not valid\n' "$1" >&2
        exit 64
        ;;
    esac
}
check Action "${SSM_Action-}" a-z
check Nonce "${SSM_Nonce-}" A-Za-z0-9-
check Scope "${SSM_Scope-}" 0-9a-f
check Users "${SSM_Users-}" 'A-Za-z0-9_. -'
check Install "${SSM_Install-}" 'A-Za-z0-9@/+=_.:, -'
check Retire "${SSM_Retire-}" 'A-Za-z0-9/+ -'
check Known "${SSM_Known-}" 'A-Za-z0-9/+ -'
check Generation "${SSM_Generation-}" 0-9
check Expires "${SSM_Expires-}" 0-9
check AllowRoot "${SSM_AllowRoot-}" a-z
check InstanceId "${AWS_SSM_INSTANCE_ID-}" A-Za-z0-9-
case $SSM_Action in apply | inspect) ;; *) check Action '' a ;; esac
host=$AWS_SSM_INSTANCE_ID retire=${SSM_Retire#-} known=${SSM_Known#-}

# ---- The answer -------------------------------------------------------------

listen='' host_keys='' summaries='' details='' telling=false room=20000

# answer CODE: prints both lines and ends. A listing of commands cuts at 2,500
# characters: users that do not fit into the summary stand in the detail alone.
answer() {
    head="{\"keytrail\":1,\"nonce\":\"$SSM_Nonce\",\"host\":\"$host\",\"action\":\"$SSM_Action\""
    head="$head,\"generation\":$SSM_Generation,\"code\":\"$1\""
    head="$head,\"listen\":[${listen#,}],\"hostKeys\":[${host_keys#,}]"
    tail=",\"end\":\"$SSM_Nonce\"}"
    summary="$head,\"users\":[${summaries#,}],\"more\":false,\"detail\":$telling$tail" more=
    if [ ${#summary} -gt 2300 ]; then
        summary="$head,\"users\":[],\"more\":true,\"detail\":true$tail" more=${summaries#,}
    fi
    printf '%s\n{"nonce":"%s","users":[%s],"files":[%s]%s\n' \
        "$summary" "$SSM_Nonce" "$more" "${details#,}" "$tail"
    exit 0
}

# ---- What the owner of a key file runs --------------------------------------

# The reader of one key file. A line counts as OpenSSH's auth2-pubkeyfile.c
# counts it: blanks, then a comment, a key, or options and a key. It prints
# "TYPE BLOB MARK" for ssh-keygen, which knows a key from garbage; MARK is
# SIGN FILE:LINE:LETTERS:COMMENT without blanks. SIGN is + where sshd would
# take the key, whoever connects. The last line is a key of our own, so that a
# listing without it is known to be cut short.
reader='
function tell(problem) {
    system("echo !" problem " >&3")
    told = 1
    exit
}
function key(text) {
    if (!match(text, /^[^ \t]+[ \t]+/)) return 0
    type = substr(text, 1, RLENGTH)
    text = substr(text, RLENGTH + 1)
    sub(/[ \t]+$/, "", type)
    match(text, /^[^ \t]*/)
    blob = substr(text, 1, RLENGTH)
    comment = substr(text, RLENGTH + 1)
    gsub(/[\r\v\f]/, "", blob) # base64 decoders skip them, and so CRLF files work
    return type ~ /^[a-z0-9@.-]+$/ && blob ~ /^AAAA[A-Za-z0-9+\/=]*$/
}
function past(stamp,  zone, now) {
    zone = sub(/[Zz]$/, "", stamp) ? "-u " : ""
    if (stamp !~ /^[0-9]+$/ || length(stamp) % 2 || length(stamp) < 8 || length(stamp) > 14) return 1
    while (length(stamp) < 14) stamp = stamp "0"
    ("date " zone "+%Y%m%d%H%M%S") | getline now
    return stamp < now ""
}
function letters(options,  one, name, value, found) {
    while (options != "") {
        match(options, /^([^",]|"[^"]*")*/)
        one = substr(options, 1, RLENGTH)
        options = substr(options, RLENGTH + 1)
        if (options == ",") found = found "x"
        options = substr(options, 2)
        name = tolower(one)
        sub(/=.*/, "", name)
        if (name != tolower(one)) {
            value = substr(one, length(name) + 2)
            if (value !~ /^"[^"]*"$/) found = found "x"
            value = substr(value, 2, length(value) - 2)
            if (name == "command") found = found (found ~ /c/ ? "x" : "c")
            else if (name == "from") found = found "f"
            else if (name == "principals") found = found "p"
            else if (name == "expiry-time") found = found (past(value) ? "e" : "o")
            else found = found (name ~ /^(environment|permitopen|permitlisten|tunnel)$/ ? "o" : "x")
        }
        else if (name == "cert-authority") found = found "a"
        else if (name == "restrict") found = found "o"
        else {
            sub(/^no-/, "", name)
            found = found (name ~ /^((port|agent|x11)-forwarding|pty|user-rc|(touch|verify)-required)$/ ? "o" : "x")
        }
    }
    return found
}
{
    size += length($0) + 1
    if (size > 1048576) tell("size")
    if (/\001/) tell("nul")
    line = $0
    sub(/^[ \t]+/, "", line)
    if (line == "" || line ~ /^#/) next
    mark = ""
    if (!key(line)) {
        gsub(/\\"/, "\002", line) # an escaped quote neither opens nor closes
        if (!match(line, /^([^" \t]|"[^"]*")+[ \t]+/)) next
        mark = substr(line, 1, RLENGTH)
        if (!key(substr(line, RLENGTH + 1))) next
        sub(/[ \t]+$/, "", mark)
        mark = letters(mark)
    }
    gsub(/^[ \t]+|[ \t\r]+$/, "", comment)
    gsub(/[^A-Za-z0-9\/_+=.@:,-]/, "_", comment)
    print type, blob, (mark ~ /[aefpx]/ ? "-" : sign) file ":" NR ":" mark ":" substr(comment, 1, 80)
}
END {
    if (!told) print "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU= end"
}'

# worker_text prints the program that reads and edits key files. It runs as
# their owner and knows nothing but its arguments, so that neither the user's
# shell and start-up files nor our environment and script take part.
#   keytrail MODE HOST ENTRIES RETIRE READER FILE...
# MODE is read or edit. ENTRIES are the wanted keys as "FINGERPRINT LINE,...",
# RETIRE the fingerprints that have to go. A FILE is four letters, ":" and a path:
# w (this process may write it), r (root may) or - (nobody); + or - as sshd would
# take keys from it; p if a new file must be readable; s if it has a SELinux label.
# It prints "file N STATE" for each, the keys as ssh-keygen lists them, and
# "end ADDED REMOVED TROUBLE NEED", where NEED says what is left to root.
worker_text() {
    cat <<'WORKER'
set -fu
umask 077
mode=$1 host=$2 entries=$3 retire=$4 reader=$5
shift 5
nl='
'
new='' old='' added=0 removed=0 rounds=0 trouble=- need=- spoilt=' ' fault=mixed

# keys N SIGN PATH: the keys of a file into $found, or !PROBLEM. awk cannot see
# NUL, so NUL travels as its neighbour, which no key file holds either.
keys() {
    found=$({ tr '\000' '\001' <"$3" | awk -v file="$1" -v sign="$2" "$reader" |
        ssh-keygen -lf -; } 3>&1)
    case $found in
    *!*) found=!${found#*!} ;;
    *" end (ECDSA)") found=${found%"${found##*"$nl"}"} ;;
    *) found=!garbled ;;
    esac
}

# survey FILE...: all that sshd would read, into $states and $all.
survey() {
    states=$nl all=$nl n=0
    for file do
        n=$((n + 1)) path=${file#*:} found=
        if [ ! -e "$path" ] && [ ! -L "$path" ]; then
            state=missing
        elif [ ! -f "$path" ]; then
            state=type
        elif [ ! -r "$path" ]; then
            state=unreadable
        else
            state=read
            case $file in ?+*) keys $n + "$path" ;; *) keys $n - "$path" ;; esac
            case $found in !*) state=${found#!} state=${state%%"$nl"*} found= ;; esac
        fi
        states="${states}file $n $state$nl" all=$all$found
    done
}

# lacking WHERE: the lines of the wanted keys that do not stand there.
lacking() {
    lines='' count=0
    IFS=,
    for entry in $entries; do
        case $all in *" SHA256:${entry%% *} $1"*) continue ;; esac
        lines="$lines${entry#* }$nl" count=$((count + 1))
    done
    unset IFS
    [ "$lines" ]
}

# place FILE...: the file for new keys, into $n and $file: the first that may be
# written and that sshd takes keys from, or else the first that may be written.
place() {
    n=0 second=
    for file do
        n=$((n + 1))
        case $spoilt in *" $n "*) continue ;; esac
        case $states in *"${nl}file $n missing$nl"* | *"${nl}file $n read$nl"*) ;; *) continue ;; esac
        case $file in
        [wr]+*) return 0 ;;
        [wr]*) second=${second:-"$n $file"} ;;
        esac
    done
    n=${second%% *} file=${second#* }
    [ "$second" ]
}

# stale FILE...: a file that holds a key which has to go, into $n and $file:
# before all others the ones that this process may write.
stale() {
    n=0 second=
    for file do
        n=$((n + 1))
        for print in $retire; do
            case $all in *" SHA256:$print "[+-]"$n:"*) ;; *) continue ;; esac
            case $file in w*) return 0 ;; esac
            second=${second:-"$n $file"}
        done
    done
    n=${second%% *} file=${second#* }
    [ "$second" ]
}

# edit ADD DROP: adds lines to $file, or drops what has to go. The lock is on its
# directory: that leaves nothing behind, and nobody can swap it for another.
edit() {
    add=$1 drop=$2 path=${file#*:} trouble=write
    dir=${path%/*}
    if [ "$add" ] && [ ! -d "$dir" ]; then
        mkdir -p "$dir" && label "$dir"
    fi
    locked 9<"${dir:-/}" && trouble=-
}

locked() {
    tries=0
    until flock -n 9; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ]; then
            trouble=lock
            return 1
        fi
        sleep 0.1
    done
    # Whoever holds the lock owns these names: what is there, a killed run left.
    new=${path%/*}/.${path##*/}.keytrail-$host.new
    old=${new%new}old
    if [ -e "$new" ] || [ -e "$old" ]; then
        rm -f "$new" "$old" || return 1
    fi
    [ -z "$add$drop" ] || replace
    set -- $?
    [ ! -e "$new" ] && [ ! -e "$old" ] || rm -f "$new" "$old"
    new=
    return "$1"
}

# replace: copy, compare, rename. When somebody else changes the file meanwhile
# nothing is done, which is no error: the caller looks again.
replace() {
    before='' doomed='' gone=0
    if [ -e "$path" ]; then
        ln "$path" "$old" && before=$(cksum <"$old") && cp -p "$old" "$new" || return 1
        [ -z "$drop" ] || doom || return 1
        case $file in ???s*) chcon --reference="$old" "$new" ;; esac
    fi
    whole=$({ { rewrite && echo whole >&3; } | cat >"$new" || echo torn >&3; } 3>&1)
    [ "$whole" = whole ] || return 1
    dd if=/dev/null of="$new" conv=notrunc,fsync # power may fail: the old file or the new one
    if [ "$before" ]; then
        [ "$(cksum <"$path")" = "$before" ] || return 0
        mv -f "$new" "$path" || return 1
        carry || return 0
    else
        case $file in ??p*) chmod 644 "$new" ;; esac
        ln "$new" "$path" || return 0
        label "$path"
    fi
    [ -z "$add" ] || added=$((added + count))
    removed=$((removed + gone))
}

rewrite() {
    [ -z "$before" ] || awk -v doomed="$doomed" '
        BEGIN { for (n = split(doomed, line, " "); n; n--) drop[line[n]] }
        !(NR in drop)' "$old" || return 1
    printf '%s' "$add"
}

# doom: the numbers of the lines of $old that have to go.
doom() {
    keys "$n" + "$old"
    case $found in !*) return 1 ;; esac
    for print in $found; do
        case $print in
        SHA256:*) case " $retire " in *" ${print#SHA256:} "*) hit=yes ;; *) hit= ;; esac ;;
        [+-]*:*:*:*)
            [ "$hit" ] || continue
            print=${print#*:} gone=$((gone + 1))
            doomed="$doomed ${print%%:*}"
            ;;
        esac
    done
}

# carry: what a writer without a lock did to the old file around the rename.
carry() {
    tries=0
    while now=$(cksum <"$old") && [ "$now" != "$before" ] && [ $tries -lt 100 ]; do
        tries=$((tries + 1))
        if [ "$(head -c "${before#* }" "$old" | cksum)" = "$before" ]; then
            head -c "${now#* }" "$old" | tail -c "+$((${before#* } + 1))" >>"$path"
            before=$now
        else # rewritten in place: that version stands, and ours starts again
            mv -f "$old" "$path"
            return 1
        fi
    done
}

label() {
    case $file in ???s*) restorecon "$1" ;; esac
    :
}

trap '[ -z "$new" ] || rm -f "$new" "$old"' EXIT
trap 'exit 1' HUP INT TERM
survey "$@"
if [ "$mode" = edit ]; then
    for file do
        path=${file#*:}
        aside=${path%/*}/.${path##*/}.keytrail-$host
        case $file in w*) [ ! -e "$aside.new" ] && [ ! -e "$aside.old" ] || edit '' '' ;; esac
    done
fi
while [ "$mode$trouble$need" = edit-- ]; do
    rounds=$((rounds + 1))
    if [ $rounds -gt 20 ]; then
        trouble=race
    elif lacking +; then
        place "$@" || { trouble=$fault; break; }
        case $file in
        ?-*) lacking "-$n:" || break ;; # here, where sshd does not look: nothing may go
        esac
        case $file in
        r*) need=add ;;
        *) edit "$lines" '' || [ $trouble = lock ] || { fault=$trouble trouble=- spoilt="$spoilt$n "; } ;;
        esac
    elif stale "$@"; then
        case $file in
        w*) edit '' drop ;;
        r*) need=drop ;;
        *) trouble=mixed ;;
        esac
    else
        break
    fi
    survey "$@"
done
printf '%s%send %s %s %s %s\n' "${states#"$nl"}" "${all#"$nl"}" $added $removed $trouble $need
WORKER
}

# judge turns the worker's lines into an answer about one user: what is left to
# root and whether the detail is worth reading, the summary, the detail. The
# worker ran as the user, who may have made it say anything: a line that has not
# the exact form spoils the answer, and nothing else.
judge='
BEGIN {
    wanted = split(install, word, " "); for (i = 1; i <= wanted; i++) want[word[i]] = i
    marked = split(retire, word, " "); for (i = 1; i <= marked; i++) mark[word[i]] = i
    for (i = split(known, word, " "); i; i--) ours[word[i]]
    split(barred, bar, " ")
    paths = split(files, path, " ")
    split(modes, mode, " ")
    split(owners, owner, " ")
    foreign = forged = omitted = 0
    need = "-"
}
ended || bad { bad = 1; next }
/^file [0-9]+ [a-z]+$/ { state[$2] = $3; next }
/^end [0-9]+ [0-9]+ [a-z]+ [a-z-]+$/ || /^end [0-9]+ [0-9]+ - [a-z-]+$/ {
    added += $2
    removed += $3
    if ($4 != "-") trouble = $4
    need = $5
    ended = 1
    next
}
!/^[0-9]+ SHA256:[A-Za-z0-9\/+]+ [+-][0-9]+:[0-9]+:[a-z]*:[A-Za-z0-9\/_+=.@:,-]* \([A-Z0-9-]+\)$/ { bad = 1; next }
{
    id = substr($2, 8)
    split($3, part, ":")
    comment = substr($3, length(part[1] part[2] part[3]) + 4)
    if (id in want) {
        i = want[id]
        if ($3 ~ /^\+/) have[i] = "y"
        else if (have[i] != "y") {
            have[i] = "n"
            if (why == "") why = part[3] ~ /[aefpx]/ ? "line" : "modes"
        }
    }
    else if (id in mark) left[mark[id]]
    else if (!(id in ours)) {
        foreign++
        if (comment ~ /^keytrail:/) forged++
    }
    if (part[3] ~ /a/ && ways !~ /l/) ways = ways "l"
    if (part[3] == "" && (id in want || id in mark || id in ours)) next
    item = sprintf(",{\"file\":%d,\"line\":%d,\"type\":\"%s\",\"print\":\"%s\",\"options\":\"%s\",\"comment\":\"%s\"}", \
        substr(part[1], 2), part[2], substr($4, 2, length($4) - 2), id, part[3], comment)
    if (length(found item) > room) omitted++
    else found = found item
}
END {
    for (i = 1; i <= wanted; i++) {
        if (have[i] == "") have[i] = "-"
        else if (reason != "-") have[i] = "n"
        else if (bar[i] != "-") {
            have[i] = "n"
            why = bar[i]
        }
        if (have[i] == "n") refused = 1
        present = present have[i]
    }
    for (i = 1; i <= marked; i++) remaining = remaining (i in left ? "y" : "-")
    for (i = 1; i <= paths; i++) {
        if (state[i] == "" || state[i] == "garbled") bad = 1
        else if (state[i] !~ /^(read|missing)$/ && problem == "") problem = state[i]
        listed = listed sprintf(",{\"path\":\"%s\",\"mode\":\"%s\",\"owner\":\"%s\",\"state\":\"%s\"}", \
            path[i], mode[i], owner[i], state[i])
    }
    code = "ok"
    if (bad || !ended) { code = "unverifiable"; reason = "worker" }
    else if (reason != "-") code = "refused"
    else if (problem != "") { code = "refused"; reason = problem }
    else if (trouble == "mixed") { code = "refused"; reason = "mixed" }
    else if (trouble != "") { code = "failed"; reason = trouble }
    else if (refused) { code = "refused"; reason = why }
    printf "%s %s\n", need, (found != "" || code != "ok") ? "true" : "false"
    printf ",{\"user\":\"%s\",\"code\":\"%s\",\"reason\":\"%s\",\"present\":\"%s\",\"remaining\":\"%s\"", \
        user, code, reason == "-" ? "" : reason, present, remaining
    printf ",\"added\":%d,\"removed\":%d,\"foreign\":%d,\"forged\":%d,\"ways\":\"%s\"}\n", \
        added, removed, foreign, forged, ways
    printf ",{\"user\":\"%s\",\"files\":[%s],\"keys\":[%s],\"omitted\":%d}\n", \
        user, substr(listed, 2), substr(found, 2), omitted
}'

# ---- Files and who controls them --------------------------------------------

# look PATH...: mode and owner of each path and of every directory above it, in
# one ls, into $seen. (stat differs between systems, ls -ldn does not.)
seen=$nl
look() {
    asked=
    for path do
        while :; do
            case $seen$asked in *"$nl${path:-/} "*) ;; *) asked="$asked$nl${path:-/} " ;; esac
            [ "$path" ] || break
            path=${path%/*}
        done
    done
    [ "$asked" ] || return 0
    # shellcheck disable=SC2046,SC2086 # paths have no blanks, and globbing is off
    listing=$(ls -ldn $asked 2>/dev/null)
    IFS=$nl
    for line in $listing; do
        path=/${line#* /} mode=${line%% *}
        case $path in *' -> '*) target=${path#* -> } path=${path%% -> *} ;; *) target= ;; esac
        unset IFS
        # shellcheck disable=SC2086
        set -- $line
        seen="$seen$path $mode $3 $target$nl"
    done
    unset IFS
    for path in $asked; do
        case $seen in *"$nl$path "*) ;; *) seen="$seen$path - - $nl" ;; esac
    done
}

# fact PATH: one path, into $mode (- where there is nothing), $owner and $target.
fact() {
    case $seen in *"$nl$1 "*) ;; *) look "$1" ;; esac
    entry=${seen#*"$nl$1 "}
    entry=${entry%%"$nl"*}
    mode=${entry%% *} entry=${entry#* }
    owner=${entry%% *} target=${entry#* }
}

# shared: whether others than the owner may write what has this $mode.
shared() {
    case $mode in ?????w* | ????????w*) return 0 ;; esac
    return 1
}

# trace PATH: follows every link. $real is where it leads, $mode and $owner are
# those of what stands there; $rooted is yes if root alone decides where it leads;
# $nest and $nest_owner are the deepest directory that exists and its owner,
# - if others may write to it.
trace() {
    rest=${1#/} real='' hops=0 rooted=yes
    fact /
    enter /
    while [ "$rest" ]; do
        part=${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
        case $part in
        '' | .) continue ;;
        ..)
            real=${real%/*}
            fact "${real:-/}"
            enter "${real:-/}"
            continue
            ;;
        esac
        fact "$real/$part"
        case $mode in
        l*)
            hops=$((hops + 1))
            case $hops$target in 33* | *[!A-Za-z0-9/._@+,:=~%-]*) return 1 ;; esac
            case $target in
            /*)
                real='' rest=${target#/}${rest:+/$rest}
                fact /
                enter /
                ;;
            *) rest=$target${rest:+/$rest} ;;
            esac
            look "$real/${rest%/}"
            ;;
        d*)
            real=$real/$part
            enter "$real"
            ;;
        *)
            real=$real/$part${rest:+/$rest}
            fact "$real"
            return 0
            ;;
        esac
    done
    fact "${real:-/}"
}

enter() {
    nest=$1 nest_owner=$owner
    ! shared || nest_owner=-
    [ "$nest_owner" = 0 ] || rooted=no
}

# strict UID: StrictModes, as OpenSSH's safe_path judges $real: owner root or the
# user and nobody else may write, from the file up to the home or to /.
strict() {
    path=$real
    while :; do
        fact "${path:-/}"
        case $mode in
        -) ;;
        *)
            [ "$owner" = 0 ] || [ "$owner" = "$1" ] || return 1
            ! shared || return 1
            ;;
        esac
        [ "$path" ] && [ "$path" != "$real_home" ] || return 0
        path=${path%/*}
    done
}

# ---- What sshd says ---------------------------------------------------------

# A client that no rule names: what holds for it holds for everybody. sshd wants
# the whole specification as soon as its settings have a Match block.
sshd_option=-T spec='host=192.0.2.1,addr=192.0.2.1' where=',laddr=192.0.2.2,lport=22'

# effective USER: sshd's settings for a user, into $settings, keys in lower case.
effective() {
    for option in $sshd_option -G; do
        settings=$(sshd "$option" -C "user=$1,$spec$where" 2>/dev/null |
            awk '{ $1 = tolower($1) } /^(port|listenaddress|hostkey|use|perm|pub|auth|req|revo|trust|strict|chroot|allow|deny)/')
        case $settings in *pubkeyauthentication\ *)
            sshd_option=$option
            return 0
            ;;
        esac
    done
    return 1
}

# settings_of USER: effective, and once for all users what the login proof needs.
settings_of() {
    effective "$1" || return 1
    [ -z "$listen" ] || return 0
    keys=
    IFS=$nl
    for line in $settings; do
        value=${line#* }
        case $line in
        listenaddress\ *[!][A-Za-z0-9:.%]*) ;;
        listenaddress\ *) listen="$listen,\"$value\"" ;;
        hostkey\ *.pub) keys="$keys$nl$value" ;;
        hostkey\ *) keys="$keys$nl$value.pub" ;;
        esac
    done
    # shellcheck disable=SC2086
    keys=$(cat $keys 2>/dev/null | ssh-keygen -lf - 2>/dev/null)
    for line in $keys; do
        line=${line#*SHA256:}
        host_keys="$host_keys,\"${line%% *}\""
    done
    unset IFS
    # A port or an address of its own may have rules of its own.
    value=${listen#,\"} value=${value%%\"*}
    case $value in
    *:22) return 0 ;;
    0.0.0.0:* | \[::\]:*) where=",laddr=192.0.2.2,lport=${value##*:}" ;;
    *) where=${value%:*} where=${where#[} where=",laddr=${where%]},lport=${value##*:}" ;;
    esac
    effective "$1"
}

# matches NAME PATTERN: sshd's patterns know * and ? and nothing else.
matches() {
    case $2 in
    *[[\\]*) [ "$1" = "$2" ] ;;
    *) case $1 in $2) ;; *) return 1 ;; esac ;;
    esac
}

# named NAMES LIST: whether one of NAMES matches a line of LIST. What stands behind
# an @ names clients: USER@CLIENT is taken for a refusal only if it names all.
named() {
    IFS=$nl
    for pattern in $2; do
        case $pattern in
        *@\*) pattern=${pattern%@*} ;;
        *@*) [ "$3" = deny ] && continue || pattern=${pattern%@*} ;;
        esac
        unset IFS
        for name in $1; do
            ! matches "$name" "$pattern" || return 0
        done
        case " $1 " in *" $pattern "*) return 0 ;; esac
        IFS=$nl
    done
    unset IFS
    return 1
}

refuse() { [ "$reason" != - ] || reason=$1; }

# heed: why sshd would not let this user in with any key, into $reason; and
# $files, $strict and $ways. Each question stands as in OpenSSH's auth.c and
# auth2-pubkey.c.
heed() {
    reason=- ways='' files='' strict=yes pam=no chroot=none revoked=none accepted='' rsa=0
    deny_users='' allow_users='' deny_groups='' allow_groups=''
    IFS=$nl
    for line in $settings; do
        value=${line#* }
        case $line in
        authorizedkeysfile\ *) files=$value ;;
        strictmodes\ *) strict=$value ;;
        usepam\ *) pam=$value ;;
        chrootdirectory\ *) chroot=$value ;;
        revokedkeys\ *) revoked=$value ;;
        requiredrsasize\ *) rsa=$value ;;
        pubkeyacceptedalgorithms\ * | pubkeyacceptedkeytypes\ *) accepted=$value ;;
        denyusers\ *) deny_users="$deny_users$nl$value" ;;
        allowusers\ *) allow_users="$allow_users$nl$value" ;;
        denygroups\ *) deny_groups="$deny_groups$nl$value" ;;
        allowgroups\ *) allow_groups="$allow_groups$nl$value" ;;
        pubkeyauthentication\ no) refuse pubkey ;;
        authenticationmethods\ *)
            case " $value " in *' any '* | *' publickey '*) ;; *) refuse methods ;; esac
            ;;
        permitrootlogin\ *)
            case $uid$value in [!0]* | 0yes | 0without-password | 0prohibit-password) ;; *) refuse rootlogin ;; esac
            ;;
        authorizedkeyscommand\ none | trustedusercakeys\ none) ;;
        authorizedkeyscommand\ *) ways=${ways}k ;;
        trustedusercakeys\ *) ways=${ways}c ;;
        esac
    done
    unset IFS
    account
    [ -z "$deny_users" ] || ! named "$user" "$deny_users" deny || refuse users
    [ -z "$allow_users" ] || named "$user" "$allow_users" allow || refuse users
    [ "$deny_groups$allow_groups" ] || return 0
    groups=$(id -Gn "$user" 2>/dev/null)
    [ -z "$deny_groups" ] || ! named "$groups" "$deny_groups" deny || refuse groups
    [ -z "$allow_groups" ] || named "$groups" "$allow_groups" allow || refuse groups
}

# account: what the password file and its shadow say against a login.
account() {
    IFS=$nl
    for line in $shadow; do
        case $line in "$user:"*) ;; *) continue ;; esac
        IFS=:
        # shellcheck disable=SC2086
        set -- $line : : : : : : : :
        IFS=$nl password=$2
        case :$3:$5:$7: in *::* | *[!0-9:]*) ;; *) [ "$pam" = no ] || [ $today -le $(($3 + $5 + $7)) ] || refuse expired ;; esac
        case $8 in '' | *[!0-9]*) ;; *) [ $today -le "$8" ] || refuse expired ;; esac
    done
    unset IFS
    case $pam$password in no!*) refuse locked ;; esac
    [ "$chroot" != none ] || { [ -f "$shell" ] && [ -x "$shell" ]; } || refuse shell
}

# bar: for each wanted key the reason why sshd would not take that very key.
bar() {
    barred=
    IFS=,
    for entry in $entries; do
        unset IFS
        # shellcheck disable=SC2086
        set -- $entry
        why=-
        case $2 in ssh-rsa) names='rsa-sha2-512 rsa-sha2-256 ssh-rsa' ;; *) names=$2 ;; esac
        ok=no
        for name in $names; do
            case ",$accepted," in ,, | *",$name,"*) ok=yes ;; esac
        done
        [ $ok = yes ] || why=algorithm
        case $bits in *" $1:"*) size=${bits#*" $1:"} ;; esac
        [ "$2" != ssh-rsa ] || [ "${size%% *}" -ge "$rsa" ] || why=rsasize
        [ "$revoked" = none ] || ! revoked "$1" "$2 $3" || why=revoked
        barred="$barred $why"
        IFS=,
    done
    unset IFS
}

# revoked FINGERPRINT KEY: a file that cannot be read revokes everything.
revoked() {
    for list in $revoked; do
        [ -r "$list" ] || return 0
        case $(ssh-keygen -lf "$list" 2>/dev/null) in
        '') printf '%s\n' "$2" | ssh-keygen -Q -f "$list" /dev/stdin >/dev/null 2>&1 || return 0 ;;
        *" SHA256:$1 "*) return 0 ;;
        esac
    done
    return 1
}

# ---- One user ---------------------------------------------------------------

# entry NAME: a line of passwd, into $uid, $home, $shell and $password. Fails
# where there is none; $uid is empty where the answer cannot be used.
entry() {
    wanted=$1 uid='' lines=
    IFS=$nl
    for line in $accounts; do
        case $line in "$1:"* | *:"$1:"*:/*) ;; *) continue ;; esac
        case $lines in '' | "$line") lines=$line ;; *) lines=: ;; esac
    done
    unset IFS
    [ "$lines" ] || return 1
    password=${lines#*:} home=${lines%:*}
    uid=${password#*:} password=${password%%:*}
    uid=${uid%%:*} home=${home##*:} shell=${lines##*:}
    shell=${shell:-/bin/sh}
    case $uid$home in *[!A-Za-z0-9/._@+,=~%-]*) uid= ;; [0-9]*/*) ;; *) uid= ;; esac
}

# say CODE REASON: the answer about a user whose files were not read.
say() {
    telling=true
    summaries="$summaries,{\"user\":\"$user\",\"code\":\"$1\",\"reason\":\"$2\",\"present\":\"\",\"remaining\":\"\""
    summaries="$summaries,\"added\":0,\"removed\":0,\"foreign\":0,\"forged\":0,\"ways\":\"\"}"
}

# find_files: where sshd looks, into $specs for the worker and $paths, $modes and
# $owners for the answer. Fails where that cannot be told.
find_files() {
    specs='' paths='' modes='' owners=''
    set --
    for file in $files; do
        case $file in [Nn][Oo][Nn][Ee]) continue ;; esac
        out=
        while :; do
            case $file in
            *%*) out=$out${file%%\%*} file=${file#*%} ;;
            *) break ;;
            esac
            case $file in
            h*) out=$out$home ;;
            u*) out=$out$user ;;
            U*) out=$out$uid ;;
            %*) out=$out% ;;
            *) return 1 ;;
            esac
            file=${file#?}
        done
        out=$out$file
        case $out in *[!A-Za-z0-9/._@+,:=~%-]*) return 1 ;; /*) ;; *) out=$home/$out ;; esac
        set -- "$@" "$out"
    done
    look "$home" "$@"
    trace "$home" || return 1
    real_home=$real
    for file do
        trace "$file" || return 1
        case " $paths " in *" $real "*) continue ;; esac
        case $mode in *.) label=s ;; *) label=- ;; esac
        paths="$paths $real" modes="$modes $mode" owners="$owners $owner" letters=-
        if [ $rooted = yes ] && [ "$owner" != - -o "$nest" = "${real%/*}" ]; then
            case $owner in - | 0 | "$uid") letters=r ;; esac
        fi
        case $owner in - | "$uid") [ "$nest_owner" != "$uid" ] || letters=w ;; esac
        specs="$specs $letters"
        if [ "$strict" = no ] || strict "$uid"; then specs="$specs+"; else specs="$specs-"; fi
        case $letters in r) specs=${specs}p ;; *) specs=$specs- ;; esac
        specs=$specs$label:$real
    done
}

# as UID ARGUMENT...: the worker, with the rights of root or of this user.
as() {
    if [ "$1" = 0 ]; then
        shift
        set -- sh -c "$worker" keytrail "$@"
    elif [ "$runuser" ]; then
        shift
        set -- runuser -u "$user" -- sh -c "$worker" keytrail "$@"
    else
        shift
        set -- su -s /bin/sh -c "$worker" -- "$user" keytrail "$@"
    fi
    # shellcheck disable=SC2086
    $limit env -i PATH="$PATH" LC_ALL=C HOME="$home" "$@" </dev/null 2>/dev/null 9<&-
}

serve() {
    entry "$user" || { say nouser ''; return; }
    [ "$uid" ] || { say unverifiable passwd; return; }
    [ "$uid" != 0 ] || [ "$SSM_AllowRoot" = yes ] || { say refused root; return; }
    settings_of "$user" || { say unverifiable sshd; return; }
    heed
    find_files || { say unverifiable path; return; }
    [ "$specs" ] || { say refused nofile; return; }
    bar
    how=read drop='' added=0 removed=0 trouble=
    [ "$SSM_Action" != apply ] || how=edit
    case $reason$barred in *[a-z]*) ;; *) [ -z "$entries" ] || drop=$retire ;; esac
    for round in 1 2 3; do
        # shellcheck disable=SC2086
        view=$(as "$uid" $how "$host" "$entries" "$drop" "$reader" $specs |
            $limit awk -v user="$user" -v install="$prints" -v retire="$retire" -v known="$known" \
                -v barred="$barred" -v files="$paths" -v modes="$modes" -v owners="$owners" \
                -v reason="$reason" -v ways="$ways" -v room="$room" \
                -v added=$added -v removed=$removed -v trouble="$trouble" "$judge")
        case $view in
        add*) set -- "$entries" '' ;;
        drop*) set -- '' "$drop" ;;
        *) break ;;
        esac
        for file in $specs; do
            case $file in r*) set -- "$@" "w${file#?}" ;; esac
        done
        keys=$1 going=$2
        shift 2
        report=$(as 0 edit "$host" "$keys" "$going" "$reader" "$@")
        # shellcheck disable=SC2086
        set -- ${report##*"${nl}end "}
        added=$((added + $1)) removed=$((removed + $2))
        [ "$3" = - ] || trouble=$3 how=read
    done
    [ "$view" ] || { say unverifiable worker; return; }
    case $view in *" true$nl"*) telling=true ;; esac
    view=${view#*"$nl"}
    summaries=$summaries${view%"$nl"*} details=$details${view#*"$nl"}
    room=$((room - ${#view}))
}

# ---- The run ----------------------------------------------------------------

# shellcheck disable=SC2086
accounts=$(getent passwd 0 $SSM_Users 2>/dev/null) shadow=$(getent shadow $SSM_Users 2>/dev/null)
now=$(date +%s) today=$((now / 86400))

# The wanted keys by fingerprint: $prints and $entries in their order, $bits.
prints='' entries='' bits='' offered='' n=0
IFS=,
for key in ${SSM_Install#-}; do
    offered="$offered$key$nl" n=$((n + 1))
done
list=$(printf %s "$offered" | ssh-keygen -lf - 2>/dev/null)
IFS=$nl
for line in $list; do
    size=${line%% *} print=${line#*SHA256:} key=${offered%%"$nl"*}
    offered=${offered#*"$nl"} print=${print%% *} n=$((n - 1))
    prints="$prints $print" entries="$entries,$print $key" bits="$bits $print:$size"
done
unset IFS
entries=${entries#,}
[ $n = 0 ] || check Install '' a

worker=$(worker_text) runuser='' limit=
! command -v runuser >/dev/null || runuser=yes
! command -v timeout >/dev/null || limit='timeout -s KILL 20' # a user may stop his own processes

# An apply of the past must not undo a later one: one at a time for each scope,
# and none that is older than the last. The state is written before any edit.
remember() {
    tries=0
    until flock -n 9; do
        tries=$((tries + 1))
        [ $tries -le 100 ] || answer busy
        sleep 0.1
    done
    [ "$(date +%s)" -le "$SSM_Expires" ] || answer expired
    last=0
    [ ! -e "$state/generation" ] || read -r last <"$state/generation" || answer state
    case $last in '' | *[!0-9]*) answer state ;; esac
    [ "$last" -le "$SSM_Generation" ] || answer superseded
    [ "$last" -lt "$SSM_Generation" ] || return 0
    printf '%s\n' "$SSM_Generation" >"$state/generation.new" &&
        mv -f "$state/generation.new" "$state/generation" || answer state
}
if [ "$SSM_Action" = apply ]; then
    entry root && state=$home/.keytrail/$SSM_Scope && mkdir -p "$state" && [ -r "$state" ] || answer state
    exec 9<"$state"
    remember
fi
for user in $SSM_Users; do
    serve
done
answer ok
