#!/bin/sh
# What Docker's own client says and does, for `openshell-bench`; the verbs are described in its script.rs.
set -eu
image=${OPENSHELL_TEST_IMAGE_DOCKER:-openshell-test/busybox:1}
label=label=openshell.ai/gateway-id=$OPENSHELL_GATEWAY_ID
shared=by-hand-$OPENSHELL_GATEWAY_ID

case $1 in
image) echo "$image" ;;
config | holds) ;;
resources) docker ps -a --filter "$label" --format '{{.Label "openshell.ai/sandbox-id"}}' ;;
kill) docker ps -q --filter "$label" | xargs -r -n 1 docker kill >/dev/null ;;
ends)
  docker ps -aq --filter "$label" |
    xargs -r docker inspect --format '{{index .Config.Labels "openshell.ai/sandbox-id"}} {{.State.FinishedAt}}'
  ;;
begin) docker network create -o com.docker.network.bridge.enable_icc=false "$shared" >/dev/null ;;
run)
  docker run -d --name "$2" --network "$shared" --mount "type=volume,source=$2,target=/sandbox" --cap-drop ALL \
    --security-opt no-new-privileges --pids-limit 2048 "$image" sleep 3600 >/dev/null
  ;;
remove)
  docker rm -f "$2" >/dev/null
  docker volume rm "$2" >/dev/null
  ;;
end) docker network rm "$shared" >/dev/null ;;
inside) docker ps -q --filter "$label" --filter "label=openshell.ai/sandbox-id=$2" ;;
exec) printf '%s\n' docker exec "$2" ;;
copy-in) docker cp "$3" "$2:$4" >/dev/null ;;
copy-out) docker cp "$2:$3" "$4" >/dev/null ;;
*)
  echo "unknown verb \`$1\`" >&2
  exit 2
  ;;
esac
