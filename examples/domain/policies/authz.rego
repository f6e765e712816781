# Your first policy. authz loads every .rego file of this folder and reloads it on change; try it with
#   curl -d '{"input":{"user":{"role":"analyst","team":"payments"},"action":"read",
#             "resource":{"owner_team":"payments","environment":"staging"}}}' localhost:8181/v1/data/authz/allow
package authz

default allow := false

allow if {
	input.user.role == "analyst"
	input.action == "read"
	input.resource.owner_team == input.user.team
	input.resource.environment != "production"
}
