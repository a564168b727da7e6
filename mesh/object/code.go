package object

// Code is the stable name of a sort of finding ("SubsetNotFound"), for tools.
type Code string

// The codes of findings; Codes says what they mean.
const (
	CodeInvalid           Code = "Invalid"
	CodeUnsupported       Code = "Unsupported"
	CodeUnknownField      Code = "UnknownField"
	CodeUnknownKind       Code = "UnknownKind"
	CodeForeign           Code = "ForeignKind"
	CodeUnreadable        Code = "Unreadable"
	CodeDuplicate         Code = "Duplicate"
	CodeConflict          Code = "Conflict"
	CodeHostNotFound      Code = "HostNotFound"
	CodeSubsetMissing     Code = "SubsetNotFound"
	CodePortNotFound      Code = "PortNotFound"
	CodeDelegateMissing   Code = "DelegateNotFound"
	CodeProviderMissing   Code = "ProviderNotFound"
	CodeHostNotAdmitted   Code = "HostNotInGateway"
	CodeClaimUnknown      Code = "ClaimNotKnown"
	CodeUnreferenced      Code = "Unreferenced"
	CodeNotLookedUp       Code = "NotLookedUp"
	CodeShadowed          Code = "Shadowed"
	CodeSharedCertificate Code = "CertificateShared"
	CodeKeysUnknown       Code = "KeysNotKnown"
	CodeInjection         Code = "Injection"
	CodeSecret            Code = "SecretInvalid"
	CodeWithheld          Code = "Withheld"
	CodePending           Code = "Pending"
	CodeRejected          Code = "Rejected"
	CodeOutdated          Code = "ProxyOutdated"
)

// Severity is how much a finding matters.
type Severity string

// The severities. An error is wrong by what its object says alone, whatever else there is
// in the mesh and in whatever order objects are applied; a warning can be mended by other
// objects too, or is understood and not acted upon; a note only tells.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityNote    Severity = "note"
)

// CodeMeaning is what there is to know of a code.
type CodeMeaning struct {
	Code     Code
	Severity Severity // the worst that findings of the code have
	Meaning  string   // what is wrong, a sentence
	Remedy   string   // what to do, a sentence
}

// Codes are all codes with their meaning, the worst first.
func Codes() []CodeMeaning {
	return []CodeMeaning{
		{CodeUnreadable, SeverityError, "The text is no YAML, or no object of the Kubernetes API.", "Correct the text."},
		{CodeUnknownKind, SeverityError, "A kind or version of a known API group does not exist; the object is not read.", "Correct apiVersion or kind."},
		{CodeUnknownField, SeverityError, "The kind has no such field, or it is given twice. An error for Istio's kinds, a warning for those of Kubernetes, which may be newer.", "Correct its name or its place (indentation), or take it out."},
		{CodeInvalid, SeverityError, "A value cannot be used; it, or the object, is left out. A warning where other objects are at fault too.", "Correct the value as the message says."},
		{CodeInjection, SeverityError, "The proxy cannot be added to the pods of a workload, or not as their labels and annotations ask. A warning where the proxy is added all the same.", "Correct the pod template."},
		{CodeUnsupported, SeverityWarning, "A field or kind is understood and not acted upon.", "Do without it; docs/features.md says what works."},
		{CodeDuplicate, SeverityWarning, "An object is defined twice.", "Remove one of the two, or give it another name."},
		{CodeConflict, SeverityWarning, "Another object claims the same thing, and wins.", "Merge the two, or let one go."},
		{CodeShadowed, SeverityWarning, "An earlier rule takes all that this one matches.", "Move the rule up, or remove it."},
		{CodeHostNotFound, SeverityWarning, "No Service or ServiceEntry has the host.", "Check the name and its namespace, or add the Service or ServiceEntry."},
		{CodeSubsetMissing, SeverityWarning, "No DestinationRule in force defines the subset, or no pod has its labels.", "Add the subset, or correct its name or labels."},
		{CodePortNotFound, SeverityWarning, "The Service has no such port, or which of several is meant is not said.", "Use one of its ports."},
		{CodeDelegateMissing, SeverityWarning, "The VirtualService that a rule delegates to does not exist, or is not exported to it.", "Create it, or correct the name."},
		{CodeProviderMissing, SeverityWarning, "The mesh configuration has no such provider.", "Add it to extensionProviders, or correct the name."},
		{CodeHostNotAdmitted, SeverityWarning, "No server of the Gateway has the host of a VirtualService bound to it.", "Correct the host, or add it to a server."},
		{CodeClaimUnknown, SeverityWarning, "A rule matches a claim of a token where no RequestAuthentication reads tokens.", "Add a RequestAuthentication for the gateway."},
		{CodeKeysUnknown, SeverityWarning, "An issuer of tokens did not say what its keys are, so that its tokens are refused, or checked with the keys of before. Only a running control plane tells it.", "Read why in the message; or set jwksUri, or write the keys to jwks."},
		{CodeUnreferenced, SeverityWarning, "Nothing uses the object, or a part of it.", "Correct the name or the labels that it is found by."},
		{CodeSharedCertificate, SeverityWarning, "Two Gateways serve different hosts with one certificate, so that HTTP/2 clients send the requests of the one to the other.", "Use one Gateway, or a certificate for each."},
		{CodeSecret, SeverityWarning, "A Secret is missing or cannot be used.", "Create it, or correct its content."},
		{CodeWithheld, SeverityWarning, "Only proxies of the object's own namespace are given it.", "Use an address of the network, or allow the namespace local endpoints."},
		{CodePending, SeverityWarning, "The pods that are to serve a Gateway do not run. Only a running control plane tells it.", "Read why in the message, and mend it."},
		{CodeRejected, SeverityWarning, "A proxy refused what was made of the object, and keeps what it had. Only a running control plane tells it.", "Read what the proxy says in the message."},
		{CodeOutdated, SeverityWarning, "The proxies of a workload were made by another version. Only a running control plane tells it.", "Restart the workload."},
		{CodeForeign, SeverityNote, "A kind of which nothing is known is not read.", "Nothing, where it is not meant for the mesh."},
		{CodeNotLookedUp, SeverityNote, "Something was not looked up: names, since the files hold a part of the mesh, or the keys of an issuer, which only a running control plane asks.", "For names, give the other files too, or --kubeconfig."},
	}
}
