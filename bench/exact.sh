#!/usr/bin/env bash
# The long form of the test that tails are exact. On each generation a run grows by
# 200 lines per second while its Viewer is killed 50 times. There are 200 tails on
# two servers, half of which drop and resume by token. At the end each tail is
# compared with the event file; on 0.5.3 with the Viewer's final table, of which a
# tail that resumes receives again what may have changed, so tails drop less often.
# Takes about five minutes per generation on two cores; arguments are the generations.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUNICORN_E2E=required
[ $# -gt 0 ] || set -- 0.5.3 0.6.0 0.7.2
for version in "$@"; do
  drop=3s
  [ "$version" = 0.5.3 ] && drop=30s
  go test ./internal/e2e -v -count=1 -timeout 60m -run "TestTailMetrics_WhileTheViewerIsKilled/$version" \
    -tail-clients 200 -tail-kills 50 -tail-pause 2s -tail-drop "$drop"
done
