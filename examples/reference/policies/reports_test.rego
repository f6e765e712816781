package reports_test

import data.reports

directory := {
	"people": {"alice": {"role": "analyst", "team": "payments"}, "olga": {"role": "owner", "team": "payments"}},
	"suspended": [],
	"on_call": [{"sub": "nina", "until": "2200-01-01T00:00:00Z"}, {"sub": "old", "until": "2000-01-01T00:00:00Z"}],
}

token(sub) := io.jwt.encode_sign({"typ": "JWT", "alg": "HS256"}, {"sub": sub}, {"kty": "oct", "k": "c2VjcmV0"})

request(sub, method, team, environment) := {
	"attributes": {"request": {"http": {
		"method": method,
		"headers": {"authorization": concat(" ", ["Bearer", token(sub)])},
	}}},
	"parsed_path": ["reports", team],
	"parsed_query": {"environment": [environment]},
}

test_analyst_reads_own_team_in_staging if {
	reports.allow with input as request("alice", "GET", "payments", "staging") with data.directory as directory
}

test_analyst_not_in_production if {
	not reports.allow with input as request("alice", "GET", "payments", "production") with data.directory as directory
}

test_analyst_not_other_team if {
	not reports.allow with input as request("alice", "GET", "hr", "staging") with data.directory as directory
}

test_analyst_does_not_write if {
	not reports.allow with input as request("alice", "POST", "payments", "staging") with data.directory as directory
}

test_owner_writes_in_production if {
	reports.allow with input as request("olga", "POST", "payments", "production") with data.directory as directory
}

test_on_call_until_the_shift_ends if {
	reports.allow with input as request("nina", "GET", "hr", "production") with data.directory as directory
	not reports.allow with input as request("old", "GET", "hr", "production") with data.directory as directory
}

test_suspended_beats_all if {
	not reports.allow with input as request("alice", "GET", "payments", "staging")
		with data.directory as object.union(directory, {"suspended": ["alice"]})
}

test_missing_environment_is_denied if {
	not reports.allow with input as object.remove(request("alice", "GET", "payments", "staging"), ["parsed_query"])
		with data.directory as directory
}
