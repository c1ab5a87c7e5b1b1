#!/bin/sh
# QEMU by hand, for `openshell-bench`; the verbs are described in its script.rs.
#
# By hand is what somebody would write who wants one machine to run one command: the same kernel, the same board, the same
# accelerator, a disk of the same image, an initramfs with busybox's shell that loads the modules and switches to the disk.
set -eu
image=openshell-test/busybox:1
modules=$(find "$OPENSHELL_TEST_MODULES" -mindepth 1 -maxdepth 1 -type d | head -n 1)
marked="name openshell-$OPENSHELL_GATEWAY_ID[.]"
shared=${TMPDIR:-/tmp}/by-hand-$OPENSHELL_GATEWAY_ID

# A machine: accelerator and disk; its console is the standard output. Without KVM the small board has no clock that this
# kernel can use. The shell becomes QEMU, so that nothing else holds what the caller reads to its end.
machine() {
  if [ "$1" = kvm ]; then board=microvm bus=device; else board=q35 bus=pci; fi
  exec qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -machine "$board,accel=$1" -cpu max -m 128M \
    -kernel "$OPENSHELL_TEST_KERNEL" -initrd "$shared/initramfs" -append "console=ttyS0 quiet panic=-1 reboot=t" \
    -serial stdio -drive "if=none,id=disk,format=raw,file=$2" -device "virtio-blk-$bus,drive=disk"
}

# A module with what it depends on, each before what needs it.
module() {
  file=$(find "$modules" -name "$1.ko" | head -n 1)
  [ -n "$file" ] || return 0
  for needed in $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr , ' '); do module "$needed"; done
  file=$(find "$modules" -name "$1.ko" | head -n 1)
  [ -e "$shared/tree/$1.ko" ] || { cp "$file" "$shared/tree/$1.ko" && echo "insmod /$1.ko" >>"$shared/tree/init"; }
}

case $1 in
image) echo "$image" ;;
config)
  cat <<CONFIG
[openshell.drivers.vm]
kernel = "$OPENSHELL_TEST_KERNEL"
modules = "$modules"
memory = "128Mi"
disk_size = "256Mi"
[openshell.drivers.vm.images]
"$image" = "$OPENSHELL_TEST_ROOTFS"
CONFIG
  ;;
# What fits into a small host's memory.
holds) echo 20 ;;
ends) ;;
resources) pgrep -af "$marked" | sed -n "s/.*$marked\([^ ]*\) .*/\1/p" | sort -u ;;
kill) pkill -KILL -f "$marked" ;;
begin)
  mkdir -p "$shared/tree/bin" "$shared/disk" "$shared/run"
  tar -xf "$OPENSHELL_TEST_ROOTFS" -C "$shared/disk"
  truncate -s 256M "$shared/base" && mke2fs -q -t ext4 -d "$shared/disk" "$shared/base"
  cp "$shared/disk/bin/busybox" "$shared/tree/bin/busybox"
  printf '#!/bin/busybox sh\nfor name in sh mount insmod switch_root mkdir; do /bin/busybox ln -s busybox /bin/$name; done\n' >"$shared/tree/init"
  printf 'export PATH=/bin\nmkdir -p /proc /dev /disk\nmount -t devtmpfs dev /dev\n' >>"$shared/tree/init"
  module virtio_mmio && module virtio_pci && module virtio_blk
  printf 'mount -t ext4 /dev/vda /disk\nmount -o move /dev /disk/dev\n' >>"$shared/tree/init"
  printf 'exec switch_root /disk /bin/sh -c "echo by-hand-ready >/dev/ttyS0; exec sleep 3600"\n' >>"$shared/tree/init"
  chmod +x "$shared/tree/init"
  (cd "$shared/tree" && find . | cpio -o -H newc --quiet) >"$shared/initramfs"
  # The device is there on some hosts whose guests never run.
  cp --sparse=always "$shared/base" "$shared/probe"
  accelerator=tcg
  if timeout 5 sh -c "'$0' probe '$shared/probe'" 2>/dev/null | grep -q by-hand-ready; then accelerator=kvm; fi
  echo "$accelerator" >"$shared/accelerator"
  ;;
probe) machine kvm "$2" </dev/null & trap 'kill $!' TERM; wait ;;
run)
  cp --sparse=always "$shared/base" "$shared/run/$2"
  : >"$shared/run/$2.log"
  machine "$(cat "$shared/accelerator")" "$shared/run/$2" </dev/null >"$shared/run/$2.log" 2>&1 &
  echo $! >"$shared/run/$2.pid"
  until grep -q by-hand-ready "$shared/run/$2.log"; do sleep 0.01; done
  ;;
remove)
  kill "$(cat "$shared/run/$2.pid")"
  rm -f "$shared/run/$2" "$shared/run/$2.log" "$shared/run/$2.pid"
  ;;
end) rm -rf "$shared" ;;
*)
  echo "unknown verb \`$1\`" >&2
  exit 2
  ;;
esac
