# What a workload under a supervisor finds of itself and of what is not its own; run by the tests of the drivers that deliver
# one, in their test image. A line is `hole` and what should not be there, or a fact that depends on the sandbox.
hole() { echo "hole $*"; }
status() { grep -qx "$1:.$2" /proc/self/status || hole "$(grep "^$1:" /proc/self/status)"; }
for set in CapInh CapPrm CapEff CapBnd CapAmb; do status "$set" 0000000000000000; done
status NoNewPrivs 1
status Seccomp 2
echo "user $(id -u) group $(id -g) in $(pwd)"
touch /sandbox/mine || hole "no workspace"
for file in environ mem maps auxv; do cat "/proc/1/$file" 2>/dev/null | grep -q . && hole "/proc/1/$file"; done
readlink /proc/1/fd/* /proc/1/exe /proc/1/cwd /proc/1/root 2>/dev/null | grep -q . && hole "what process 1 has open"
cat "/run/openshell/token" >/dev/null 2>&1 && echo "reads the token"
env | grep -qE '^OPENSHELL_(ENDPOINT|SANDBOX_TOKEN_FILE|MAIN_PROCESS_SPEC)=' && hole "a variable of the supervisor's"
env | grep -q osb1 && hole "the token in a variable"
tr '\0' ' ' </proc/1/cmdline | grep -q osb1 && hole "the token in a command line"
{ echo x >/run/openshell/gateway/x; } 2>/dev/null && hole "a file beside the socket"
rm /run/openshell/gateway/gateway.sock 2>/dev/null && hole "the socket removed"
{ echo x >/run/openshell/supervisor; } 2>/dev/null && hole "the program changed"
rm /run/openshell/supervisor 2>/dev/null && hole "the program removed"
mount -t tmpfs none /mnt 2>/dev/null && hole "a mount"
kill -9 1 2>/dev/null
sleep 0.3
env | grep '^OPENSHELL_' | sort
echo "alive"
exit 7
