# METADATA
# title: Who may read which report
# description: |
#   Decides for every request that reaches service A. The token says who asks; what that person is and
#   may do is looked up here, at the time of the request, never taken from the token.
package reports

default allow := false

# The request, in the words of the policy.
action := "read" if input.attributes.request.http.method == "GET"

action := "write" if input.attributes.request.http.method in {"POST", "PUT", "PATCH", "DELETE"}

owner_team := input.parsed_path[1] if input.parsed_path[0] == "reports"

environment := input.parsed_query.environment[0]

# The person behind the token. The sidecar has verified it; a token that it did not see is no token.
claims := payload if {
	[_, payload, _] := io.jwt.decode(bearer)
}

bearer := trim_prefix(input.attributes.request.http.headers.authorization, "Bearer ")

person := data.directory.people[claims.sub]

suspended if claims.sub in data.directory.suspended

# What `sextant respond` writes when it contains an identity.
suspended if data.sextant.denied[claims.sub]

# An analyst reads the reports of her own team, outside production.
allow if {
	not suspended
	person.role == "analyst"
	action == "read"
	person.team == owner_team
	environment != "production"
}

# The owner of a team's reports also writes them, and reads them in production.
allow if {
	not suspended
	person.role == "owner"
	action in {"read", "write"}
	person.team == owner_team
}

# On-call engineers read everything, in production too, while they are on call.
allow if {
	not suspended
	action == "read"
	some shift in data.directory.on_call
	shift.sub == claims.sub
	time.now_ns() < time.parse_rfc3339_ns(shift.until)
}
