# shellcheck shell=bash
# The alerting rules, on what a server tells in its quiet hours and around an ordinary restart.

promtool=$root/target/tools/usr/bin/promtool
[ -x "$promtool" ] || promtool=$(command -v promtool || true)
if [ -z "$promtool" ]; then
  echo "SKIP the rules: promtool is not here; tests/tools.sh gets it"
  return 0
fi
rules=$root/deploy/prometheus
ends 0 SUCCESS "$promtool" check rules "$rules/alerts.yml"
ends 0 SUCCESS "$promtool" test rules "$rules/alerts_test.yml"
for alert in TokenKeysMissing JobPaused BackupOld ExportsLarge; do
  grep -q "alert: Metarecord$alert$" "$rules/alerts.yml" || fail "there is no rule $alert"
done

scrape() { curl -sS "$OPERATORS/metrics" -H "authorization: Bearer $TOKEN" >"$1"; }
# fires ALERT... -- FILE:MINUTES...: which alerts are on after these minutes, each file being what was scraped for so long and
# - that nobody answered. The disk is this machine's own.
fires() {
  python3 - "$rules/alerts.yml" "$@" >story.yml <<'PYTHON'
import json, sys

rules, split = sys.argv[1], sys.argv.index("--")
alerts, told = sys.argv[2:split], sys.argv[split + 1:]
series, minutes = {}, 0
for part in told:
    path, _, count = part.rpartition(":")
    here = {"up": "0" if path == "-" else "1"}
    for line in [] if path == "-" else open(path):
        if not line.startswith("#"):
            name, value = line.rsplit(maxsplit=1)
            here[name] = value
    for name in {*series, *here}:
        series.setdefault(name, ["_"] * minutes).extend([here.get(name, "_")] * int(count))
    minutes += int(count)


def named(name):
    family, _, labels = name.rstrip("}").partition("{")
    return f'{family}{{job="metarecord",instance="a"{"," + labels if labels else ""}}}'


firing = 'group by (alertname) (ALERTS{alertstate="firing",alertname!~"MetarecordDisk.*"})'
print(json.dumps({"rule_files": [rules], "evaluation_interval": "1m", "tests": [{
    "interval": "1m",
    "input_series": [{"series": named(name), "values": " ".join(values)} for name, values in series.items()],
    "promql_expr_test": [{"expr": firing, "eval_time": f"{minutes - 1}m",
                          "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts]}],
}]}))
PYTHON
  ends 0 SUCCESS "$promtool" test rules story.yml
}

serve server quiet
talk_to quiet
scrape quiet.before
stop server
# A load balancer asks all the while; what is refused during the start counts.
serve server quiet
talk_to quiet
for _ in $(seq 20); do get /ready >/dev/null; done
scrape quiet.after
sed -E 's/^(metarecord_refusals_total\{.*tag="starting".*\}) .*/\1 20/' quiet.after >quiet.refused
grep -q '^metarecord_refusals_total.*tag="starting".* 20$' quiet.refused || fail "refusals of a start have no series"
fires -- quiet.before:30 -:1 quiet.after:5 quiet.refused:25
echo "an ordinary restart of a quiet server pages nobody"

is "$(invoke jobs_pause '{"job":"ttl-sweep"}')" 200 paused "pausing a job"
scrape quiet.paused
fires MetarecordJobPaused -- quiet.after:30 quiet.paused:300
is "$(invoke jobs_resume '{"job":"ttl-sweep"}')" 200 '' "resuming it"
stop server
serve server quiet --set auth.jwt_jwks_url=http://127.0.0.1:1/keys --set auth.jwt_issuer=https://id.example --set auth.jwt_audience=metarecord
talk_to quiet
scrape quiet.keyless
fires MetarecordTokenKeysMissing -- quiet.keyless:60
stop server
echo "a job that stays paused and keys of tokens that cannot be got are told"
