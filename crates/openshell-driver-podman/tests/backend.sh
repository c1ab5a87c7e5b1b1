#!/bin/sh
# What Podman's own client says and does, for `openshell-bench`; the verbs are described in its script.rs.
#
# By hand as by the driver: a network of its own for each sandbox, with the same options, since bridges of Podman connect
# whoever is on them. (With one network for all, made before the clock runs, by hand is some 60 ms faster.)
set -eu
image=${OPENSHELL_TEST_IMAGE_PODMAN:-localhost/openshell-test/busybox:1}
label=label=openshell.ai/gateway-id=$OPENSHELL_GATEWAY_ID

case $1 in
image) echo "$image" ;;
config | holds) ;;
resources)
  podman ps -aq --filter "$label" | xargs -r podman inspect --format '{{index .Config.Labels "openshell.ai/sandbox-id"}}'
  ;;
kill) podman ps -q --filter "$label" | xargs -r -n 1 podman kill >/dev/null ;;
ends)
  at='{{.State.FinishedAt.Format "2006-01-02T15:04:05.999999999Z07:00"}}'
  podman ps -aq --filter "$label" |
    xargs -r podman inspect --format "{{index .Config.Labels \"openshell.ai/sandbox-id\"}} $at"
  ;;
begin | end) ;;
run)
  podman network create --opt isolate=true --disable-dns "$2" >/dev/null
  podman run -d --name "$2" --network "$2" --mount "type=volume,source=$2,target=/sandbox" --cap-drop ALL \
    --security-opt no-new-privileges --pids-limit 2048 "$image" sleep 3600 >/dev/null
  ;;
remove)
  podman rm -f -t 0 "$2" >/dev/null
  podman volume rm "$2" >/dev/null
  podman network rm "$2" >/dev/null
  ;;
inside) podman ps -q --filter "$label" --filter "label=openshell.ai/sandbox-id=$2" ;;
exec) printf '%s\n' podman exec "$2" ;;
copy-in) podman cp "$3" "$2:$4" >/dev/null ;;
copy-out) podman cp "$2:$3" "$4" >/dev/null ;;
*)
  echo "unknown verb \`$1\`" >&2
  exit 2
  ;;
esac
