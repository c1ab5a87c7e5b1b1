# The image that `supervisor_image` of [openshell.drivers.kubernetes] names: the supervisor and nothing else. It is linked static,
# so there is nothing to build on. In a folder that `cargo xtask build --drivers kubernetes` has left:
#
#   docker build -t registry.example/openshell-sandbox:VERSION -f supervisor.Dockerfile .
FROM scratch
COPY openshell-sandbox /openshell-sandbox
ENTRYPOINT ["/openshell-sandbox"]
