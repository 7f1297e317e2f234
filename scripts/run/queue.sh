# The queue part of the main job, for scripts/run.sh to source: the same log as jobs for workers of
# a share group. It uses run.sh's functions and what that has set.

queue=workers
dead_topic=$topic.dead
crew=(worker-1 worker-2 worker-3 worker-4)
victim=worker-3
mended=(mended-1 mended-2)
declare -A worker_pids

# show COMMAND...: run `ratel COMMAND`, below a line that says so.
show() {
    local word line='$ ratel'
    for word in "$@"; do
        if [ $((${#line} + ${#word})) -gt 76 ]; then
            printf '%s \\\n' "$line"
            line="     "
        fi
        line+=" $word"
    done
    echo "$line"
    RATEL_SERVER=$address "$ratel" "$@" || die "ratel $* failed"
}

# start_worker NAME FLAGS...
start_worker() {
    local name=$1
    shift
    "$python" scripts/run/worker.py "$address" "$topic" "$queue" "$job/$name.diary" "$@" \
        2>"$job/$name.err" &
    worker_pids[$name]=$!
    children+=($!)
}

# Ask workers to end, and wait until they have.
end_workers() {
    local name
    for name in "$@"; do kill "${worker_pids[$name]}"; done
    for name in "$@"; do
        wait "${worker_pids[$name]}" || die "$name: $(tail -5 "$job/$name.err")"
    done
}

# until_queue WHAT SECONDS COMMAND...: wait until the command succeeds.
until_queue() {
    local what=$1 deadline=$((SECONDS + $2))
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] || die "$what: not within the time"
        sleep 0.1
    done
}

# queue_has VALUE KEY...: whether these keys of `queue stats`, over all partitions, sum up to it.
queue_has() {
    local value=$1 keys
    shift
    keys=$(IFS='|'; echo "$*")
    RATEL_SERVER=$address "$ratel" queue stats "$queue" --output json |
        awk -v value="$value" -v keys="^\"($keys)\":$" '
            $1 ~ keys { sum += $2; seen = 1 }
            END { exit !(seen && sum == value) }'
}

# Two workers on each of the two partitions.
is_shared_out() {
    [ "$(RATEL_SERVER=$address "$ratel" queue stats "$queue" --output json |
        grep -c '"consumers": 2')" = 2 ]
}

is_empty() { queue_has 0 ready in_flight delayed; }

is_holding() { grep -q '^holding' "$job/$victim.diary"; }

# The package with the most lines, of those with no more than one line in fifty.
package_to_reject() {
    cut -f1 "$job/input" | sort | uniq -c | sort -rn -k1,1 |
        awk -v most=$((lines / 50 + 1)) '$1 <= most && !found { print $2; found = 1 }'
}

lines_of() { awk -F '\t' -v package="$1" '$1 == package { n++ } END { print n + 0 }' "$job/input"; }

work_through_queue() {
    local rejected before name
    rejected=$(package_to_reject)
    say "7. the same log as jobs: four workers share its two partitions"
    # Paused until all have joined, so that each gets its share.
    show queue create "$queue" --topic "$topic" --set=queue.paused=true \
        --set=share.record.lock.duration.ms=5000 --set=share.heartbeat.interval.ms=500 \
        --set=errors.deadletterqueue.topic.name="$dead_topic"
    for name in "${crew[@]}"; do
        if [ "$name" = "$victim" ]; then
            start_worker "$name" --reject "$rejected" --hold-after $((lines / 20))
        else
            start_worker "$name" --reject "$rejected"
        fi
    done
    until_queue "four workers have joined" 20 is_shared_out
    show queue stats "$queue"
    show queue resume "$queue"
    until_queue "$victim holds records" 20 is_holding
    disown "${worker_pids[$victim]}"
    kill -9 "${worker_pids[$victim]}"
    echo "$victim was killed with -9 while it held records; the queue at that moment:"
    show queue stats "$queue"
    until_queue "the queue is empty" 60 is_empty
    until_queue "what was rejected lies in $dead_topic" 20 queue_has "$(lines_of "$rejected")" dead
    end_workers worker-1 worker-2 worker-4

    say "8. what the workers did, by their own diaries"
    kcat -q -b "$address" -C -t "$dead_topic" -o beginning -e -J >"$job/dead.json"
    "$python" scripts/run/check.py work "$job" "$victim" "$rejected" "${crew[@]}" ||
        die "the queue did not keep its promises (see $job)"

    say "9. the workers are mended, and the dead letters go home"
    before=$(lines_in_log)
    show queue redrive "$queue" --all --dry-run
    show queue redrive "$queue" --all
    for name in "${mended[@]}"; do start_worker "$name"; done
    until_queue "the queue is empty" 60 is_empty
    end_workers "${mended[@]}"
    [ $(($(lines_in_log) - before)) = "$(wc -l <"$job/dead.json")" ] ||
        die "the redrive wrote another number of records than it moved"
    "$python" scripts/run/check.py home "$job" "$rejected" "${mended[@]}" ||
        die "the redrive did not keep its promises (see $job)"
}
