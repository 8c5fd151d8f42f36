# shellcheck shell=sh
# Kills process groups when its standard input ends, however that comes about.
# Each line read adds a group (+ 123) or takes one away (- 123).
trap '' HUP INT TERM
groups=' '
while read -r op group; do
	case $op in
	+) groups="$groups$group " ;;
	-) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
	esac
done
for group in $groups; do
	kill -s KILL -- "-$group"
done
