#!/bin/sh
# Puts the supervisor in FOLDER as the image TAG where the cluster's nodes find it, for tests: supervisor-image.sh FOLDER TAG.
# Ends with 3, and a word about it, where that cannot be: nodes that have images of their own take none from here.
set -eu
runtimes=$(kubectl get nodes -o 'jsonpath={range .items[*]}{.status.nodeInfo.containerRuntimeVersion}{"\n"}{end}')
if printf '%s\n' "$runtimes" | grep -qv '^docker://'; then
  echo "no cluster whose nodes have the images of the docker engine here:" $runtimes
  exit 3
fi
deploy=$(dirname "$0")/../../../deploy/kubernetes
tar -c -C "$deploy" supervisor.Dockerfile -C "$1" openshell-sandbox |
  docker build --quiet --tag "$2" --file supervisor.Dockerfile - >/dev/null
