#!/bin/sh
# Prints, one a line, the sandbox ids of every container that the engine has of the gateway $OPENSHELL_GATEWAY_ID.
exec docker ps -a --filter "label=openshell.ai/gateway-id=$OPENSHELL_GATEWAY_ID" --format '{{.Label "openshell.ai/sandbox-id"}}'
