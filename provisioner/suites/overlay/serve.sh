# Runs in a container: offers over HTTP, on port 8080, the host's name ($1; else the container's own) and a megabyte.
mkdir -p /www
echo "${1:-$(hostname)}" >/www/name
seq 150000 >/www/megabyte
exec httpd -f -p 8080 -h /www
