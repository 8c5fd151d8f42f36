#!/bin/sh
# Keytrail's host script. It brings the authorized keys of some users of this
# host to a wanted state (apply), or only looks at them, and at all others for
# retired keys (inspect), and answers in two lines of JSON: a summary short
# enough for any listing, and the detail.
#
# It runs as root under the SSM agent, in any POSIX shell. What to do arrives in
# the variables SSM_*, which were checked before they were sent and are checked
# again below. It assumes no path: homes come from getent, key files from sshd's
# own effective settings, and what it must remember goes below root's home.
#
# Commands it relies on, each by bare name through the PATH that it was given:
#   awk chmod cksum cp date dd env flock getent head id ln ls mkdir mv rm
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
    '' | *[!${3-}]*)
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
case $SSM_Action in apply | inspect) ;; *) check Action '' ;; esac
host=$AWS_SSM_INSTANCE_ID retire=${SSM_Retire#-} known=${SSM_Known#-}

# ---- The answer -------------------------------------------------------------

listen='' host_keys='' summaries='' others='' skipped=0 details='' telling=false room=20000

# answer CODE: prints both lines and ends. A listing of commands cuts at 2,500
# characters: users that do not fit into the summary stand in the detail alone.
answer() {
    head='{"keytrail":1,"nonce":"'$SSM_Nonce'","host":"'$host'","action":"'$SSM_Action'"'
    head=$head',"generation":'$SSM_Generation',"code":"'$1'","listen":['${listen#,}'],"hostKeys":['${host_keys#,}]
    tail=',"end":"'$SSM_Nonce'"}'
    users='"users":['${summaries#,}] more='"users":[]'
    [ -z "$others" ] || users=$users',"others":['${others#,}]
    [ $skipped = 0 ] || users=$users',"skipped":'$skipped
    summary=$head,$users',"more":false,"detail":'$telling$tail
    if [ ${#summary} -gt 2300 ]; then
        summary=$head,$more',"more":true,"detail":true'$tail more=$users
    fi
    printf '%s\n{"nonce":"%s",%s,"files":[%s]%s\n' "$summary" "$SSM_Nonce" "$more" "${details#,}" "$tail"
    exit 0
}

# ---- What the owner of a key file runs --------------------------------------

# The reader of one key file. A line counts as OpenSSH's auth2-pubkeyfile.c
# counts it: blanks, then a comment, a key, or options and a key. It prints
# "TYPE BLOB MARK" for ssh-keygen, which knows a key from garbage; MARK is
# SIGN FILE:LINE:LETTERS:COMMENT without blanks. SIGN is + where sshd would
# take the key, whoever connects. Its last line is a key of our own, so that a
# listing without it is known to be cut; so is what came without the last \002.
# shellcheck disable=SC2016 # awk expands it
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
        else if (name == "restrict" || name == "") found = found "o"
        else {
            sub(/^no-/, "", name)
            found = found (name ~ /^((port|agent|x11)-forwarding|pty|user-rc|(touch|verify)-required)$/ ? "o" : "x")
        }
    }
    return found
}
{
    last = $0
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
    if (type ~ /-cert-v01@/) mark = mark "x" # sshd looks for plain keys here
    print type, blob, (mark ~ /[aefpx]/ ? "-" : sign) file ":" NR ":" mark ":" substr(comment, 1, 80)
}
END {
    if (!told && last == "\002") print "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU= end"
}'

# The program that reads and edits key files. It runs as their owner and knows
# nothing but its arguments, so that neither the user's shell and start-up files
# nor our environment and script take part.
#   keytrail MODE HOST ENTRIES RETIRE KEEP READER FILE...
# MODE is read or edit. ENTRIES are the wanted keys as "FINGERPRINT LINE,...",
# RETIRE the fingerprints that have to go; where KEEP is not -, none of them goes
# while the key KEEP does not stay. A FILE is four letters, ":" and a path:
# w (this process may write it), r (root may) or - (nobody); + or - as sshd would
# take keys from it; p if a new file must be readable; s if it has a SELinux label.
# It prints "file N STATE" for each, the keys as ssh-keygen lists them, and
# "end ADDED REMOVED TROUBLE NEED", where NEED says what is left to root.
# shellcheck disable=SC2016 # the other shell expands it
worker='
set -fu
umask 077
mode=$1 host=$2 entries=$3 retire=$4 keep=$5 reader=$6
shift 6
nl="
"
new="" old="" fresh="" added=0 removed=0 rounds=0 trouble=- need=- spoilt=" " fault=mixed

# keys N SIGN PATH: the keys of a file into $found, or !PROBLEM. awk cannot see
# NUL, so NUL travels as its neighbour, which no key file holds either.
keys() {
    found=$({ { tr "\000" "\001" <"$3" && printf "\n\002\n"; } | awk -v file="$1" -v sign="$2" "$reader" |
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
        n=$((n + 1)) at=${file#*:} found=
        if [ ! -e "$at" ] && [ ! -L "$at" ]; then
            state=missing
        elif [ ! -f "$at" ]; then
            state="type"
        elif [ ! -r "$at" ]; then
            state=unreadable
        else
            state="read"
            case $file in ?+*) keys $n + "$at" ;; *) keys $n - "$at" ;; esac
            case $found in !*) state=${found#!} state=${state%%"$nl"*} found= ;; esac
        fi
        states="${states}file $n $state$nl" all=$all$found
    done
}

# lacking WHERE: the lines of the wanted keys that do not stand there.
lacking() {
    lines="" count=0
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

# kept: whether the key stands there that has to stay, in a line that opens a shell.
kept() {
    [ "$keep" != - ] || return 0
    for word in $all; do
        case $word in
        SHA256:*) print=${word#*:} ;;
        +*:*:*:*)
            word=${word#*:*:}
            case $print:${word%%:*} in "$keep:"*c*) ;; "$keep:"*) return 0 ;; esac
            ;;
        esac
    done
    return 1
}

# edit ADD DROP FILE...: adds lines to $file, or drops from it what has to go. The
# lock is on its directory: that leaves nothing behind, and nobody can swap it.
edit() {
    add=$1 drop=$2 path=${file#*:} trouble=write
    dir=${path%/*}
    shift 2
    if [ "$add" ] && [ ! -d "$dir" ]; then
        mkdir -p "$dir" && label "$dir"
    fi
    locked "$@" 9<"${dir:-/}"
    [ $trouble = - ]
}

locked() {
    tries=0
    until flock -n 9; do
        tries=$((tries + 1)) trouble=lock
        [ $tries -le 100 ] || return
        sleep 0.1
    done
    # Whoever holds the lock owns these names: what is there, a killed run left.
    new=${path%/*}/.${path##*/}.keytrail-$host.new
    old=${new%new}old trouble=write swapped=
    if remove && replace "$@"; then
        trouble=-
        if [ "$swapped" ]; then
            survey "$@"
            fresh=yes
            # Who had opened the old file may be slower than all of that.
            carry
            [ "$swapped$sealed" != yesyes ] || chmod u-w "$path"
        fi
    fi
    remove
    new=
}

remove() {
    if [ -e "$new" ] || [ -e "$old" ]; then rm -f "$new" "$old"; fi
}

# replace FILE...: copy, compare, rename. When somebody else put another file there
# meanwhile nothing is done, which is no error: the caller looks again.
replace() {
    before="" doomed="" gone=0 sealed="" text=$add
    [ "$add$drop" ] || return 0
    if [ -e "$path" ]; then
        ln "$path" "$old" && cp -p "$old" "$new" && before=$(cksum <"$new") || return 1
        [ -z "$drop" ] || doom || return 1
        [ "$keep" = - ] || (survey "$@" && kept) || { trouble=last; return 1; }
        text=$(awk -v doomed="$doomed" "
            BEGIN { for (n = split(doomed, line); n; n--) drop[line[n]] }
            !(NR in drop)" "$new" && printf "%s." "$add") || return 1
        text=${text%.}
        case $file in ???s*) chcon --reference="$old" "$new" ;; esac
        [ -w "$new" ] || { sealed=yes && chmod u+w "$new"; } || return 1
    fi
    printf %s "$text" >"$new" || return 1
    dd if=/dev/null of="$new" conv=notrunc,fsync # power may fail: the old file or the new one
    if [ -z "$before" ]; then
        case $file in ??p*) chmod 644 "$new" ;; esac
        ln "$new" "$path" || return 0
        label "$path"
    else
        # shellcheck disable=SC3013 # every shell we meet has -ef, as POSIX does since 2024
        [ "$path" -ef "$old" ] || return 0
        mv -f "$new" "$path" || return 1
        swapped=yes
        carry
        [ "$swapped" ] || return 0
    fi
    [ -z "$add" ] || added=$((added + count))
    removed=$((removed + gone))
}

# doom: the numbers of the lines that have to go.
doom() {
    keys "$n" + "$new"
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

# carry: what a writer without a lock did to the old file since it was read. Whole
# lines that he appended follow into the new one; after anything else his version
# stands, and ours starts again.
carry() {
    tries=0
    while now=$(cksum <"$old") && [ "$now" != "$before" ]; do
        tries=$((tries + 1)) size=${before#* } fresh=
        if [ $tries -gt 100 ] || [ "$(head -c "$size" "$old" | cksum)" != "$before" ] ||
            [ "$(head -c "$size" "$old" | tail -c 1)" ]; then
            mv -f "$old" "$path"
            swapped=
            return
        fi
        head -c "${now#* }" "$old" | tail -c "+$((size + 1))" >>"$path"
        before=$now
    done
}

label() {
    case $file in ???s*) restorecon "$1" ;; esac
    :
}

trap "[ ! \"\$new\" ] || remove" EXIT
trap "exit 1" HUP INT TERM
if [ "$mode" = edit ]; then
    for file do
        path=${file#*:}
        old=${path%/*}/.${path##*/}.keytrail-$host
        case $file in w*) if [ -e "$old.new" ] || [ -e "$old.old" ]; then edit "" ""; fi ;; esac
    done
fi
while
    [ "$fresh" ] || survey "$@"
    fresh="" rounds=$((rounds + 1))
    [ "$mode$trouble$need" = edit-- ]
do
    if [ $rounds -gt 20 ]; then
        trouble=race
    elif lacking +; then
        place "$@" || { trouble=$fault; continue; }
        case $file in
        ?-*) lacking "-$n:" || break ;; # here, where sshd does not look: nothing may go
        esac
        case $file in
        r*) need=add ;;
        *)
            spot=$n was=$added kind=$file
            edit "$lines" "" "$@"
            case $trouble$kind in
            write*) spoilt="$spoilt$spot " fault=write trouble=- ;;
            -?+*) [ $added = $was ] || { spoilt="$spoilt$spot " fault=race; } ;; # never twice
            esac
            ;;
        esac
    elif stale "$@"; then
        case $file in
        w*) edit "" drop "$@" ;;
        r*) if kept; then need=drop; else trouble=last; fi ;;
        *) trouble=mixed ;;
        esac
    else
        break
    fi
done
printf "%s%send %s %s %s %s\n" "${states#"$nl"}" "${all#"$nl"}" $added $removed $trouble $need'

# judge turns the worker's lines into an answer about one user: what is left to
# root, the lines added and removed so far and whether the detail is worth
# reading; the summary; the detail. The
# worker ran as the user, who may have made it say anything: a line that has not
# the exact form spoils the answer, and nothing else.
# shellcheck disable=SC2016 # awk expands it
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
/^end / && length($2 $3) > 12 { bad = 1; next }
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
        else if (reason != "") have[i] = "n"
        else if (bar[i] != "-") {
            have[i] = "n"
            why = bar[i]
        }
        if (have[i] == "n") refused = 1
        present = present have[i]
    }
    for (i = 1; i <= paths; i++) {
        if (state[i] == "" || state[i] == "garbled") bad = 1
        else if (state[i] !~ /^(read|missing)$/ && problem == "") problem = state[i]
        if (state[i] ~ /^(unreadable|size|nul)$/) unread = 1
        listed = listed sprintf(",{\"path\":\"%s\",\"mode\":\"%s\",\"owner\":\"%s\",\"state\":\"%s\"}", \
            path[i], mode[i], owner[i], state[i])
    }
    for (i = 1; i <= marked; i++) remaining = remaining (i in left ? "y" : unread ? "?" : "-")
    code = "ok"
    if (bad || !ended) { code = "unverifiable"; reason = "worker"; present = remaining = "" }
    else if (reason != "") code = "refused"
    else if (problem != "") { code = "refused"; reason = problem }
    else if (trouble == "mixed") { code = "refused"; reason = nowhere }
    else if (trouble != "") { code = "failed"; reason = trouble }
    else if (refused) { code = "refused"; reason = why }
    print need, added + 0, removed + 0, found != "" || code != "ok" ? "true" : "false"
    print ",{\"user\":\"" user "\",\"code\":\"" code "\",\"reason\":\"" reason "\",\"present\":\"" present \
        "\",\"remaining\":\"" remaining "\",\"added\":" added ",\"removed\":" removed ",\"foreign\":" foreign \
        ",\"forged\":" forged ",\"ways\":\"" ways "\"}"
    print ",{\"user\":\"" user "\",\"files\":[" substr(listed, 2) "],\"keys\":[" substr(found, 2) \
        "],\"omitted\":" omitted "}"
}'

# ---- Files and who controls them --------------------------------------------

# look PATH...: mode and owner of each path and of every directory above it, in
# one ls, into $seen. (stat differs between systems, ls -ldn does not.)
seen=$nl
look() {
    asked=
    for path do
        while case $seen$asked in *"$nl${path:-/} "*) ;; *) asked="$asked$nl${path:-/} " ;; esac
            [ "$path" ]; do
            path=${path%/*}
        done
    done
    # shellcheck disable=SC2086 # no path here has blanks, and nothing globs
    listing=$(ls -ldn $asked 2>/dev/null)
    IFS=$nl
    for line in $listing; do
        unset IFS
        path=/${line#* /} target=
        case $path in *' -> '*) target=${path#* -> } path=${path%% -> *} ;; esac
        # shellcheck disable=SC2086
        set -- $line
        seen="$seen$path $1 $3 $4 $target$nl"
    done
    unset IFS
    for path in $asked; do
        case $seen in *"$nl$path "*) ;; *) seen="$seen$path - - - $nl" ;; esac
    done
}

# fact PATH: one path, into $mode (- where nothing is), $owner, $group, $target.
fact() {
    case $seen in *"$nl$1 "*) ;; *) look "$1" ;; esac
    target=${seen#*"$nl$1 "}
    target=${target%%"$nl"*}
    mode=${target%% *} target=${target#* }
    owner=${target%% *} target=${target#* }
    group=${target%% *} target=${target#* }
}

# shared: whether others than its owner may write what was looked at; $user's own
# group is no other.
shared() {
    case $mode in
    ????????w*) return 0 ;;
    ?????w*) ;;
    *) return 1 ;;
    esac
    [ "$group" = "$gid" ] || return 0
    [ "$lone" ] || case $(getent group "$gid") in
    "$user:"*":$gid:" | "$user:"*":$gid:$user") lone=yes ;;
    *) lone=no ;;
    esac
    [ $lone = no ]
}

# trace PATH: follows every link. $real is where it leads, with $mode and $owner;
# $rooted is yes while root alone decides that; $nest is the deepest directory
# there is, and $nest_owner its owner, - if others may write to it.
trace() {
    real='' rest=$1 hops=0 rooted=yes
    while fact "${real:-/}" && nest=$real nest_owner=$owner && [ "$rest" ]; do
        case $owner$mode in 0?????-??-*) ;; *) rooted=no ;; esac
        ! shared || nest_owner=-
        part=${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
        case $part in
        '' | .) continue ;;
        ..) real=${real%/*} && continue ;;
        esac
        fact "$real/$part"
        case $mode in
        d*) real=$real/$part ;;
        l*)
            hops=$((hops + 1)) rest=$target${rest:+/$rest}
            case $hops$target in 33* | *[!A-Za-z0-9/._@+,:=~%-]*) return 1 ;; /*) ;; [0-9]/* | [0-9][0-9]/*) real= ;; esac
            look "$real/$rest"
            ;;
        *)
            real=$real/$part${rest:+/$rest}
            fact "$real"
            return 0
            ;;
        esac
    done
}

# strict: StrictModes, as OpenSSH's safe_path judges $real: root's or the user's,
# and nobody else may write, from the file up to the home or to /. Debian and
# Ubuntu alone let the user's own group write.
strict() {
    path=$real
    while fact "${path:-/}"; do
        case $mode$owner in
        --) ;;
        *[!0-9]0 | *[!0-9]"$uid")
            ! shared || return 1
            case $mode in ?????w*) case $(sshd -? 2>&1) in *Debian* | *Ubuntu*) ;; *) return 1 ;; esac ;; esac
            ;;
        *) return 1 ;;
        esac
        [ "$path" ] && [ "$path" != "$real_home" ] || return 0
        path=${path%/*}
    done
}

# find_places: where sshd looks, into $places; or it fails.
find_places() {
    places=
    for file in $files; do
        path=
        while case $file in *%*) ;; *) false ;; esac do
            path=$path${file%%\%*} file=${file#*%}
            case $file in
            h*) path=$path$home ;;
            u*) path=$path$user ;;
            U*) path=$path$uid ;;
            %*) path=$path% ;;
            *) return 1 ;;
            esac
            file=${file#?}
        done
        path=$path$file
        case $path in
        [Nn][Oo][Nn][Ee]) continue ;;
        *[!A-Za-z0-9/._@+,:=~%-]*) return 1 ;;
        /*) places="$places $path" ;;
        *) places="$places $home/$path" ;;
        esac
    done
}

# find_files: these files, into $specs for the worker, and into $paths, $modes and
# $owners for the answer. Fails where that cannot be told.
looked=
find_files() {
    specs='' paths='' modes='' owners='' lone=
    find_places || return 1
    looked=$looked$places
    # shellcheck disable=SC2086
    look "$home" $places
    trace "$home" || return 1
    real_home=$real nowhere=mixed
    [ "$mode" != - ] || nowhere=home
    for file in $places; do
        trace "$file" || return 1
        case "$paths " in *" $real "*) continue ;; esac
        writer=- public=- label=- sign=+
        case $owner in
        - | "$uid") case $nest_owner$nowhere in "$uid"[hm]*) writer=w ;; -mixed) nowhere=modes ;; esac ;;
        esac
        case $rooted$owner in
        yes0 | "yes$uid") writer=r ;;
        yes-) [ "$nest" != "${real%/*}" ] || writer=r ;;
        esac
        case $writer$uid in r0) writer=w ;; r*) public=p ;; esac
        case $mode in *.) label=s ;; esac
        paths="$paths $real" modes="$modes $mode" owners="$owners $owner"
        [ "$strict" = no ] || strict || sign=-
        specs="$specs $writer$sign$public$label:$real"
    done
}

# ---- What sshd says ---------------------------------------------------------

# A client that no rule names: what holds for it holds for everybody. sshd wants
# the whole specification as soon as its settings have a Match block.
client=host=192.0.2.1,addr=192.0.2.1 server=laddr=192.0.2.2,lport=22 option=-T

# settings USER: what is in force for a user, into $settings; and once for all
# users what the login proof needs, into $listen and $host_keys.
settings() {
    for option in $option -G; do
        settings=$(sshd "$option" -C "user=$1,$client,$server" 2>/dev/null)
        case $settings in *pubkeyauthentication\ *) break ;; esac
    done
    case $settings in *pubkeyauthentication\ *) ;; *) return 1 ;; esac
    [ -z "$listen" ] || return 0
    keys=
    IFS=$nl
    for line in $settings; do
        value=${line#* }
        case $line in
        listenaddress\ *[!][A-Za-z0-9:.%]*) ;;
        listenaddress\ *) listen=$listen',"'$value'"' ;;
        hostkey\ *)
            value=${value%.pub}.pub key=
            [ ! -f "$value" ] || read -r key <"$value"
            keys=$keys$key$nl
            ;;
        esac
    done
    for line in $(ssh-keygen -lf - 2>/dev/null <<KEYS
$keys
KEYS
    ); do
        line=${line#*SHA256:}
        host_keys=$host_keys',"'${line%% *}'"'
    done
    unset IFS
    # Rules may name the port and the address that sshd listens on: then once more.
    value=${listen#*\"} value=${value%%\"*}
    port=${value##*:} value=${value%:*}
    case $value in 0.0.0.0 | \[::\] | '') value=192.0.2.2 ;; esac
    value=${value#\[} value=${value%\]}
    [ "laddr=$value,lport=${port:-22}" != "$server" ] || return 0
    server=laddr=$value,lport=$port
    settings "$1"
}

# named NAMES PATTERNS SEPARATOR: whether a name matches, as sshd's patterns do:
# they know * and ? and nothing else.
named() {
    IFS=$3
    for pattern in $2; do
        unset IFS
        case " $1 " in *" $pattern "*) return 0 ;; esac
        case $pattern in *[[\\]*) continue ;; esac
        for name in $1; do
            # shellcheck disable=SC2254 # it is a pattern
            case $name in $pattern) return 0 ;; esac
        done
    done
    unset IFS
    return 1
}

# heed: what holds for $user, into $files, $strict and $ways, and into $reason why
# sshd would not take any key from him: the questions of OpenSSH's auth.c.
heed() {
    reason='' ways='' files='' strict=yes pam=no chroot=none revoked=none accepted='*' rsa=0
    pubkey=yes methods=any root=yes denied='' allowed='' denied_groups='' allowed_groups=''
    IFS=$nl
    for line in $settings; do
        value=${line#* }
        case $line in
        authorizedkeysfile\ *) files=$value ;;
        strictmodes\ *) strict=$value ;;
        usepam\ *) pam=$value ;;
        chrootdirectory\ *) chroot=$value ;;
        permitrootlogin\ *) root=$value ;;
        pubkeyauthentication\ *) pubkey=$value ;;
        authenticationmethods\ *) methods=$value ;;
        pubkeyacceptedalgorithms\ * | pubkeyacceptedkeytypes\ *) accepted=$value ;;
        requiredrsasize\ *) rsa=$value ;;
        revokedkeys\ *) revoked=$value ;;
        # What stands behind an @ names clients: only @* refuses a user altogether.
        denyusers\ *@\*) denied=$denied$nl${value%@*} ;;
        denyusers\ *@*) ;;
        denyusers\ *) denied=$denied$nl$value ;;
        allowusers\ *) allowed=$allowed$nl${value%@*} ;;
        denygroups\ *) denied_groups=$denied_groups$nl$value ;;
        allowgroups\ *) allowed_groups=$allowed_groups$nl$value ;;
        authorizedkeyscommand\ none | trustedusercakeys\ none) ;;
        authorizedkeyscommand\ *) ways=${ways}k ;;
        trustedusercakeys\ *) ways=${ways}c ;;
        esac
    done
    unset IFS
    [ "$pubkey" = yes ] || refuse pubkey
    case " $methods " in *' any '* | *' publickey '*) ;; *) refuse methods ;; esac
    case $uid$root in [!0]* | 0yes | 0without-password | 0prohibit-password) ;; *) refuse rootlogin ;; esac
    account
    [ -z "$denied" ] || ! named "$user" "$denied" "$nl" || refuse users
    [ -z "$allowed" ] || named "$user" "$allowed" "$nl" || refuse users
    [ "$denied_groups$allowed_groups" ] || return 0
    groups=$(id -Gn "$user" 2>/dev/null)
    [ -z "$denied_groups" ] || ! named "$groups" "$denied_groups" "$nl" || refuse groups
    [ -z "$allowed_groups" ] || named "$groups" "$allowed_groups" "$nl" || refuse groups
}

refuse() { reason=${reason:-$1}; }

# account: what passwd and shadow say against a login. Only without PAM does a
# locked password lock a key out as well.
account() {
    IFS=$nl
    for line in $shadow; do
        case $line in "$user:"*) ;; *) continue ;; esac
        IFS=:
        # shellcheck disable=SC2086
        set -- $line - - - - - - - -
        unset IFS
        password=$2
        case :$3:$5:$7: in *::* | *[!0-9:]*) ;; *) [ "$pam" = no ] || [ $today -le $(($3 + $5 + $7)) ] || refuse expired ;; esac
        case $8 in '' | *[!0-9]*) ;; *) [ $today -le "$8" ] || refuse expired ;; esac
    done
    unset IFS
    case $pam$password in no!*) refuse locked ;; esac
    [ "$chroot" != none ] || { [ -f "$shell" ] && [ -x "$shell" ]; } || refuse shell
}

# bar: why sshd would not take this or that wanted key, - or a reason for each,
# into $barred.
bar() {
    barred=
    IFS=,
    for entry in $entries; do
        unset IFS
        # shellcheck disable=SC2086
        set -- $entry
        size=${sizes#*" $1:"}
        weigh "$1" "${size%% *}" "$2" "$3"
        barred="$barred $why"
    done
    unset IFS
}

# weigh FINGERPRINT BITS TYPE BLOB: why sshd would not take such a key, or -, into $why.
weigh() {
    why=- types=$3
    if [ "$3" = ssh-rsa ]; then
        types='rsa-sha2-512 rsa-sha2-256 ssh-rsa'
        [ "$2" -ge "$rsa" ] || why=rsasize
    fi
    named "$types" "$accepted" , || why=algorithm
    [ "$revoked" = none ] || ! revoked "$1" "$3 $4" || why=revoked
}

# spare: a key that opens the account once the retired ones are gone, into $keep,
# which is empty where there is none: sshd takes it, and it is not bound to a
# command. Its blob is not known here: a list that needs it revokes it.
spare() {
    keep='' tries=0
    # shellcheck disable=SC2086
    listing=$(as "$uid" read "$host" '' '' - "$reader" $specs)
    IFS=$nl
    for line in $listing; do
        unset IFS
        # shellcheck disable=SC2086
        set -- $line - - - -
        print=${2#SHA256:} letters=${3#*:*:}
        case $1:$print in *[!0-9]*:* | *:*[!A-Za-z0-9/+]*) continue ;; esac
        case $3 in +*) ;; *) continue ;; esac
        case ${letters%%:*} in *c*) continue ;; esac
        case " $retire " in *" $print "*) continue ;; esac
        case "$4 $1" in
        '(ED25519) 256') type=ssh-ed25519 ;;
        '(ED25519-SK) 256') type=sk-ssh-ed25519@openssh.com ;;
        '(ECDSA-SK) 256') type=sk-ecdsa-sha2-nistp256@openssh.com ;;
        '(ECDSA) '[1-9]??) type=ecdsa-sha2-nistp$1 ;;
        '(RSA) '[1-9]??? | '(RSA) '[1-9]????) type=ssh-rsa ;;
        *) continue ;;
        esac
        weigh "$print" "$1" "$type" ''
        [ $why != - ] || keep=$print
        tries=$((tries + 1))
        if [ "$keep" ] || [ $tries = 20 ]; then break; fi
    done
    unset IFS
}

# revoked FINGERPRINT KEY: sshd takes no key at all while it cannot read a list.
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

# entry PATTERN: the line of passwd that it matches, into $uid, $gid, $home, $shell
# and $password. Fails where there is none; $uid is empty where it cannot be used.
entry() {
    uid='' found=
    IFS=$nl
    for line in $accounts; do
        # shellcheck disable=SC2254
        case $line in $1) found=${found:-$line} ;; *) continue ;; esac
        [ "$line" = "$found" ] || found=:
    done
    unset IFS
    [ "$found" ] || return 1
    password=${found#*:} home=${found%:*} shell=${found##*:}
    uid=${password#*:} password=${password%%:*} home=${home##*:} shell=${shell:-/bin/sh}
    gid=${uid#*:} uid=${uid%%:*}
    gid=${gid%%:*}
    case $uid:$gid in :* | *: | *[!0-9:]*) uid= ;; esac
    case $home in *[!A-Za-z0-9/._@+,:=~%-]*) uid= ;; /*) ;; *) uid= ;; esac
}

# say CODE REASON: the answer about a user whose files were not read.
say() {
    telling=true
    summaries=$summaries',{"user":"'$user'","code":"'$1'","reason":"'$2'","present":"","remaining":""'
    summaries=$summaries',"added":0,"removed":0,"foreign":0,"forged":0,"ways":""}'
}

# as UID ARGUMENT...: the worker, with the rights of root or of $user, in the place
# of the subshell that calls it.
as() {
    who=$1
    shift
    set -- keytrail "$@"
    if [ "$who" = 0 ]; then
        set -- sh -c "$worker" "$@"
    elif [ "$runuser" ]; then
        set -- runuser -u "$user" -- sh -c "$worker" "$@"
    else
        set -- su -s /bin/sh -c "$worker" -- "$user" "$@"
    fi
    # shellcheck disable=SC2086
    exec $limit env -i PATH="$PATH" LC_ALL=C HOME="$home" "$@" </dev/null 2>/dev/null 8<&- 9<&-
}

# serve: everything about $user.
serve() {
    entry "$user:*" || { say nouser ''; return; }
    [ "$uid" ] || { say unverifiable passwd; return; }
    [ "$uid" != 0 ] || [ "$SSM_AllowRoot" = yes ] || { say refused root; return; }
    settings "$user" || { say unverifiable sshd; return; }
    heed
    find_files || { say unverifiable path; return; }
    [ "$specs" ] || { say refused nofile; return; }
    bar
    how=read going='' keep=- added=0 removed=0 trouble='' rounds=0
    [ "$SSM_Action" != apply ] || how=edit
    # Nothing may go while sshd would refuse what has to stay.
    case $reason$barred in *[a-z]*) ;; *) going=$retire ;; esac
    [ "$entries" ] || [ $how = read ] || spare
    while
        # shellcheck disable=SC2086
        view=$(as "$uid" $how "$host" "$entries" "$going" "$keep" "$reader" $specs |
            $limit awk -v user="$user" -v install="$prints" -v retire="$retire" -v known="$known" \
                -v barred="$barred" -v files="$paths" -v modes="$modes" -v owners="$owners" \
                -v reason="$reason" -v nowhere="$nowhere" -v trouble="$trouble" -v ways="$ways" \
                -v added=$added -v removed=$removed -v room=$room "$judge")
        rounds=$((rounds + 1))
        case $rounds$view in [123]add*) set -- "$entries" '' ;; [123]drop*) set -- '' "$going" ;; *) false ;; esac
    do
        # What is root's alone, root edits, and then the user looks again.
        set -- edit "$host" "$@" - "$reader"
        for file in $specs; do
            case $file in r*) set -- "$@" "w${file#?}" ;; esac
        done
        report=$(as 0 "$@")
        # shellcheck disable=SC2086
        set -- ${view%%"$nl"*} ${report##*"${nl}end "}
        added=$(($2 + ${5:-0})) removed=$(($3 + ${6:-0}))
        [ "${7:-write}" = - ] || trouble=${7:-write} how=read
    done
    [ "$view" ] || { say unverifiable worker; return; }
    case $view in *" true$nl"*) telling=true ;; esac
    view=${view#*"$nl"}
    summaries=$summaries${view%"$nl"*} details=$details${view#*"$nl"} room=$((room - ${#view}))
}

# other: the answer about an account that was not ordered, into $others if it may
# hold a retired key. Fails where nobody looked. sshd is slow, and asked only where
# a file seems to be: in the last user's place, or the usual one.
other() {
    user=${accounts%%:*}
    case $user in '' | [!A-Za-z_]* | *[!A-Za-z0-9_.-]* | ?????????????????????????????????*) return 1 ;; esac
    case "$met " in *" $user "*) return 0 ;; esac
    met="$met $user" files="$pattern .ssh/authorized_keys" seems=
    entry '*'
    [ "$uid" ] && find_places || return 1
    for file in $places; do
        case "$looked " in *" $file "*) continue ;; esac
        path=$file
        until [ -e "$path/" ]; do path=${path%/*}; done
        # Even root may not see into a home on another machine.
        [ ! -e "$file" ] && [ -x "$path/" ] || seems=yes
    done
    [ "$seems" ] || return 0
    [ $(($(date +%s) - now)) -lt 30 ] || return 1
    looked=$looked$places
    said=$(SSM_AllowRoot=yes summaries='' && serve && printf %s "$summaries")
    case $said in *'"unverifiable"'* | *'"remaining":"'*[y?]*'","added"'*) ;; *) return 0 ;; esac
    [ ${#others} -lt 2000 ] && others=$others$said
}

# ---- The run ----------------------------------------------------------------

# The wanted keys: $prints and $entries ("FINGERPRINT LINE,...") in their order,
# and their $sizes.
entries='' prints='' sizes='' lines=
IFS=,
for line in ${SSM_Install#-}; do lines=$lines$line$nl; done
IFS=$nl
for line in $(ssh-keygen -lf - 2>/dev/null <<KEYS
$lines
KEYS
); do
    print=${line#*SHA256:}
    print=${print%% *}
    prints="$prints $print" sizes="$sizes $print:${line%% *}"
    entries=$entries${entries:+,}"$print ${lines%%"$nl"*}"
    lines=${lines#*"$nl"}
done
unset IFS
[ -z "$lines" ] || check Install ''

# shellcheck disable=SC2086
accounts=$(getent passwd 0 $SSM_Users 2>/dev/null) shadow=$(getent shadow $SSM_Users 2>/dev/null)
runuser='' limit='' now=$(date +%s)
today=$((now / 86400))
! command -v runuser >/dev/null || runuser=yes
# A user may stop his own processes: that must not keep the others waiting.
! command -v timeout >/dev/null || limit='timeout -s KILL 20'

# hold FD: waits until no other run holds the lock on what is open there.
hold() {
    tries=0
    until flock -n "$1"; do
        tries=$((tries + 1))
        [ $tries -le 100 ] || answer busy
        sleep 0.1
    done
}

# remember: orders may arrive late and in any order. One apply of a scope runs at a
# time, and none that is older than the last; that is written before any edit.
remember() {
    hold 9
    [ $tries = 0 ] || now=$(date +%s)
    [ "$now" -le "$SSM_Expires" ] || answer expired
    last=0
    [ ! -e "$state/generation" ] || read -r last <"$state/generation" || answer state
    case $last in '' | *[!0-9]*) answer state ;; esac
    [ "$last" -le "$SSM_Generation" ] || answer superseded
    [ "$last" -lt "$SSM_Generation" ] || return 0
    printf '%s\n' "$SSM_Generation" >"$state/generation.new" || answer state
    mv -f "$state/generation.new" "$state/generation" || answer state
}
if [ "$SSM_Action" = apply ]; then
    entry "${accounts%%"$nl"*}" || answer state # what getent says of 0, whoever else has that number
    [ "$uid" = 0 ] || answer state
    state=$home/.keytrail/$SSM_Scope
    [ -d "$state" ] || mkdir -p "$state" || answer state
    [ -r "$state" ] || answer state
    exec 9<"$state"
    remember
    # Two secrets that leave a user must not take each other for what stays.
    [ "$entries" ] || { exec 8<"${state%/*}" && hold 8; }
fi
for user in $SSM_Users; do serve; done
if [ "$SSM_Action" = inspect ] && [ "$retire" ]; then
    met=" $SSM_Users" pattern=${files-} left=500
    list=$({ $limit getent passwd || echo :; } 2>/dev/null)
    IFS=$nl
    for accounts in $list; do
        unset IFS
        left=$((left - 1))
        if [ $left -lt 0 ] || ! other; then skipped=$((skipped + 1)); fi
        [ $left -ge 0 ] || break
    done
    unset IFS
fi
answer ok
