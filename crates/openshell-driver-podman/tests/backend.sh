#!/bin/sh
# What Podman's own client says and does, for `openshell-bench`; the verbs are described in its script.rs.
set -eu
image=${OPENSHELL_TEST_IMAGE_PODMAN:-localhost/openshell-test/busybox:1}
label=label=openshell.ai/gateway-id=$OPENSHELL_GATEWAY_ID
shared=by-hand-$OPENSHELL_GATEWAY_ID

case $1 in
image) echo "$image" ;;
config) ;;
resources)
  podman ps -aq --filter "$label" | xargs -r podman inspect --format '{{index .Config.Labels "openshell.ai/sandbox-id"}}'
  ;;
kill) podman ps -q --filter "$label" | xargs -r -n 1 podman kill >/dev/null ;;
begin) podman network create "$shared" >/dev/null ;;
run)
  podman run -d --name "$2" --network "$shared" --mount "type=volume,source=$2,target=/sandbox" --cap-drop ALL \
    --security-opt no-new-privileges --pids-limit 2048 "$image" sleep 3600 >/dev/null
  ;;
remove)
  podman rm -f -t 0 "$2" >/dev/null
  podman volume rm "$2" >/dev/null
  ;;
end) podman network rm "$shared" >/dev/null ;;
esac
