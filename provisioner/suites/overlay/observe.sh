# Runs in a container: what it can reach. Arguments: HOST=NAME=ADDRESS of other containers. Prints a line for each
# observation, HOST KIND ANSWER; all are made at the same time.
observe() {
    host=$1 name=$2 address=$3
    echo "$host address $(timeout 3 wget -q -O - "http://$address:8080/name" 2>&1 | tail -n 1)" &
    echo "$host name $(timeout 3 wget -q -O - "http://$name:8080/name" 2>&1 | tail -n 1)" &
    # 28 bytes are the headers of IP and ICMP: this is the largest packet that goes out unfragmented.
    device=$(ip route get "$address" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
    size=$(($(cat "/sys/class/net/$device/mtu") - 28))
    echo "$host packet $(ping -c 1 -W 2 -s $size "$address" 2>&1 | grep -o 'bytes from\|unreachable' | head -n 1)" &
    echo "$host megabyte $(timeout 5 wget -q -O - "http://$address:8080/megabyte" 2>/dev/null | md5sum | cut -c 1-32)" &
    wait
}
for target; do
    old=$IFS IFS==
    # shellcheck disable=SC2086
    set -- $target
    IFS=$old
    observe "$@" &
done
wait
