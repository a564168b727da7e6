package security

import rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"

func anyPrincipal() *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Any{Any: true}}
}

func anyPermission() *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Any{Any: true}}
}

// orPrincipals is any client when nobody is listed.
func orPrincipals(l []*rbacv3.Principal) *rbacv3.Principal {
	switch len(l) {
	case 0:
		return anyPrincipal()
	case 1:
		return l[0]
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_OrIds{OrIds: &rbacv3.Principal_Set{Ids: l}}}
}

func orPermissions(l []*rbacv3.Permission) *rbacv3.Permission {
	switch len(l) {
	case 0:
		return anyPermission()
	case 1:
		return l[0]
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_OrRules{OrRules: &rbacv3.Permission_Set{Rules: l}}}
}

func andPrincipals(l []*rbacv3.Principal) *rbacv3.Principal {
	switch len(l) {
	case 0:
		return anyPrincipal()
	case 1:
		return l[0]
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_AndIds{AndIds: &rbacv3.Principal_Set{Ids: l}}}
}

func andPermissions(l []*rbacv3.Permission) *rbacv3.Permission {
	switch len(l) {
	case 0:
		return anyPermission()
	case 1:
		return l[0]
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_AndRules{AndRules: &rbacv3.Permission_Set{Rules: l}}}
}

func notPrincipal(p *rbacv3.Principal) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_NotId{NotId: p}}
}

func notPermission(p *rbacv3.Permission) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: p}}
}
