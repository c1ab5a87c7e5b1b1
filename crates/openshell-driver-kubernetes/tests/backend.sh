#!/bin/sh
# What Kubernetes' own client says and does, for `openshell-bench`; the verbs are described in its script.rs.
#
# Everything is in the namespace of the current context, as a gateway that is configured with nothing has it.
set -eu
image=${OPENSHELL_TEST_IMAGE_DOCKER:-openshell-test/busybox:1}
selector=openshell.ai/gateway-id=$OPENSHELL_GATEWAY_ID
by_hand=by-hand=$OPENSHELL_GATEWAY_ID

# A pod is asked to go, and forgotten once it had its time: some kubelets keep one for a minute after its end.
remove_pods() {
  kubectl delete pod "$@" --grace-period=1 --wait=false --ignore-not-found >/dev/null
  sleep 3
  kubectl delete pod "$@" --grace-period=0 --force --ignore-not-found >/dev/null 2>&1
}

case $1 in
image) echo "$image" ;;
config) ;;
holds)
  kubectl get nodes -o 'jsonpath={range .items[*]}{.status.allocatable.pods}{"\n"}{end}' |
    awk '{ pods += $1 } END { print pods }'
  ;;
# A pod that was removed leaves no record.
ends) ;;
resources)
  kubectl get pods,persistentvolumeclaims,configmaps,secrets,networkpolicies -l "$selector" \
    -o 'jsonpath={range .items[*]}{.metadata.annotations.openshell\.ai/sandbox-id}{"\n"}{end}' | sort -u
  ;;
kill)
  kubectl get pods -l "$selector" -o name |
    xargs -r -n 1 kubectl delete --grace-period=0 --force >/dev/null 2>&1
  ;;
begin) kubectl version >/dev/null ;;
run)
  # What the driver makes of a request that names no more than an image, with no policy, record and network beside it.
  kubectl apply -f - >/dev/null <<MANIFEST
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: $2, labels: { by-hand: "$OPENSHELL_GATEWAY_ID" } }
spec:
  accessModes: [ReadWriteOnce]
  resources: { requests: { storage: 10Gi } }
---
apiVersion: v1
kind: Pod
metadata: { name: $2, labels: { by-hand: "$OPENSHELL_GATEWAY_ID" } }
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  restartPolicy: Never
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 10
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 1000
    fsGroup: 1000
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  initContainers:
    - name: workspace
      image: $image
      command: [chown, "1000:1000", /sandbox]
      volumeMounts: [{ name: workspace, mountPath: /sandbox }]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        runAsNonRoot: false
        runAsUser: 0
        runAsGroup: 0
        capabilities: { drop: [ALL], add: [CHOWN] }
  containers:
    - name: sandbox
      image: $image
      command: [sleep, "3600"]
      workingDir: /sandbox
      volumeMounts: [{ name: workspace, mountPath: /sandbox }]
      securityContext:
        allowPrivilegeEscalation: false
        capabilities: { drop: [ALL] }
  volumes:
    - name: workspace
      persistentVolumeClaim: { claimName: $2 }
MANIFEST
  kubectl wait --for=condition=Ready "pod/$2" --timeout=120s >/dev/null
  ;;
remove)
  remove_pods "$2"
  kubectl delete persistentvolumeclaim "$2" --ignore-not-found >/dev/null
  ;;
end)
  remove_pods -l "$by_hand"
  kubectl delete persistentvolumeclaims -l "$by_hand" >/dev/null
  ;;
*)
  echo "unknown verb \`$1\`" >&2
  exit 2
  ;;
esac
