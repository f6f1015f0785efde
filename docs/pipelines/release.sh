#!/bin/sh
# Rolls a version out and waits for it: release.sh BOT VERSION [UPSTREAM]
#
# It can be run again: a version that is on its way, or there already, is only waited for.
# What it is given by the environment:
#   SERIN_ADMIN, and SERIN_TOKEN or SERIN_TOKEN_FILE (scope operate)   which serin; also SERIN_CA_FILE and the like
#   SERIN_START      "no": the config starts it ([bot.release]), this only waits, and a token of scope read will do
#   SERIN_UNTIL      promoted, or a share such as step:25% after which a pipeline may go on; default promoted
#   SERIN_TIMEOUT    how long it may take; default 6h
#   SERIN_HELD_FOR   how long it may ask for a human; default 10m
#   SERIN_REASON     what stands in the history, such as the pipeline's URL; default "pipeline"
# Exit codes are those of serin wait: 0 it is there, 3 taken back, 4 not in time, 5 a human is asked; 1 serin refused.
set -eu
bot=$1
version=$2
upstream=${3:-}

# The least share that there is: on its way, or there. A serin that restarts is waited for.
begun=0
if [ "${SERIN_START:-yes}" != no ]; then
    first=$(serin wait "$bot" --version "$version" --until step:0.01% --timeout 0s --held-for 0s 2>&1) || begun=$?
fi
case $begun in
    0 | 3 | 5) ;;
    4) serin start "$bot" --version "$version" ${upstream:+--to "$upstream"} --reason "${SERIN_REASON:-pipeline}" ;;
    *) echo "$first" >&2 && exit "$begun" ;;
esac

code=0
serin wait "$bot" --version "$version" --until "${SERIN_UNTIL:-promoted}" \
    --timeout "${SERIN_TIMEOUT:-6h}" --held-for "${SERIN_HELD_FOR:-10m}" || code=$?
case $code in
    0) ;;
    3) echo "nobody is on $version any more: if it failed, mend it, and release it under another name" >&2 ;;
    4) echo "$version is still on its way and goes on: run this again to wait on" >&2 ;;
    5) echo "$version waits for a human: serin status $bot, then serin advance $bot or serin abort $bot" >&2 ;;
    *) echo "serin refused: see above" >&2 ;;
esac
exit "$code"
