#!/usr/bin/env bash
# The long form of the proof that tails are exact: on each generation a run grows by
# 200 lines a second while its Viewer is killed 50 times, 200 tails on two servers,
# half of which drop and resume by token, and at the end every one of them is
# compared with the event file (on 0.5.3 with the Viewer's final table). Takes about
# six minutes on two cores; flags go on to `go test`, such as
# -run 'WhileTheViewerIsKilled/0.6.0'.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUNICORN_E2E=required
exec go test ./internal/e2e -v -count=1 -timeout 60m -parallel 1 \
  -run TestTailMetrics_WhileTheViewerIsKilled -tail-clients 200 -tail-kills 50 -tail-pause 2s "$@"
