#!/usr/bin/env bash
# The table of regular expressions that the server's tests go by, held against RE2/J itself, the
# library that Apache Kafka reads them with. usage: regex-re2j.sh HOST:PORT (which is not asked)
. "$(dirname "$0")/words.sh"
install_java
table=$here/../../../../server/src/coordinator/pattern/re2j.txt
"${small_jvm[@]}" -cp "$classes" Re2jTable "$table" "$scratch/table"
diff "$table" "$scratch/table" >&2 || fail "RE2/J makes something else of these expressions"
ok "$(grep -c $'\t' "$table") expressions are what RE2/J makes of them"
