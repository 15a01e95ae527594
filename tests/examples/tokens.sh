# shellcheck shell=bash
# Tokens of an identity provider with several keys, and an org that comes from another server.

mkdir idp
"$g3n" token keys --out idp/old >/dev/null
"$g3n" token keys --out idp/new >/dev/null
python3 - idp/old/jwks.json idp/new/jwks.json >idp/jwks.json <<'PYTHON'
import json, sys

print(json.dumps({"keys": [key for path in sys.argv[1:] for key in json.load(open(path))["keys"]]}))
PYTHON
"$g3n" token keys --out idp/foreign >/dev/null
serve server tokens --set auth.jwt_jwks_file="$work/idp/jwks.json" --set auth.jwt_issuer=https://id.example --set auth.jwt_audience=metarecord
talk_to tokens
# A token of one key for a role; what else is given goes to the command.
mint() { "$g3n" token mint --private-key-file "idp/$1/private.pem" --issuer https://id.example --audience metarecord --subject ann --org "$ORG" --role "$2" "${@:3}"; }
by_token() { curl -sS -o out -w '%{http_code}' "$BASE$1" -H "authorization: Bearer $2"; }

ROLES=$(mint new superadmin)
is "$(by_token /whoami "$ROLES")" 200 '"tenant_id":"DEMO"' "whoami of a role that there is not"
lacks 'superadmin|"role"' "whoami of a role that there is not"
is "$(by_token "/mrs/list?orgcode=$ORG" "$ROLES")" 403 not-authorized "a role that there is not"
is "$(by_token /whoami "$(mint new mrs_reader)")" 200 '"role":"mrs_reader"' "whoami of a reader"
echo "a role that can do nothing is not repeated by whoami"

for key in old new; do
  TOKEN_OF_KEY=$(mint "$key" mrs_reader)
  [ "$(cut -d. -f1 <<<"$TOKEN_OF_KEY" | tr '_-' '/+' | base64 -d 2>/dev/null | grep -c kid)" = 0 ] || fail "the token names its key"
  is "$(by_token "/mrs/list?orgcode=$ORG" "$TOKEN_OF_KEY")" 200 items "a token of the $key key without a kid"
done
is "$(by_token "/mrs/list?orgcode=$ORG" "$(mint foreign mrs_reader)")" 401 invalid-session "a token of a foreign key"
is "$(by_token "/mrs/list?orgcode=$ORG" "$(mint new mrs_reader --kid another)")" 401 invalid-session "a token of a kid that there is not"
echo "a token without a kid is tried with each of several keys"

HERE=("$g3n" --config tokens/profiles.toml --profile dev --orgcode ACME)
is "$(invoke ofm_org_create '{"orgcode":"ACME","owner_email":"demo@example.com"}')" 200 ACME "another org"
is "$(post /mrs/record '{"orgcode":"ACME","container":"demo","record_id":"moved","content_type":"application/json","payload":{"a":1}}')" 200 '"revision":1' "a record of it"
ends 0 export_id "${HERE[@]}" utl export-make
ends 0 manifest_sha256 "${HERE[@]}" utl export --operator --out exported
serve other elsewhere
THERE=("$g3n" --config elsewhere/profiles.toml --profile dev)
ends 5 'There is no such user' "${THERE[@]}" utl import exported --owner-user-id nobody
ends 0 '"orgcode":"ACME"' "${THERE[@]}" utl import exported
ends 5 not-found "${THERE[@]}" --orgcode ACME mrs list
ends 0 '"orgcode":"ACME"' "${THERE[@]}" --orgcode ACME ofm owner-add --email demo@example.com --actor ann --reason 'the owner moved'
ends 0 '"record_id":"moved"' "${THERE[@]}" --orgcode ACME mrs list
ends 0 '"orgcode":"ACME"' "${THERE[@]}" --orgcode ACME ofm org-park
ends 0 '"orgcode":"ACME"' "${THERE[@]}" --orgcode ACME ofm org-unpark
ends 0 'ofm_owner_add' "${THERE[@]}" ops audit
has '"actor":"ann"' "the audit of owner-add"
stop other
stop server
echo "an org that came without a known owner gets one from an operator, by name and with a row of the audit"
