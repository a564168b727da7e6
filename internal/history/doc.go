// Package history keeps what changed lately: which objects each pass took in and who wrote
// them, what that changed for which proxies, when they had accepted it, and which findings
// came and went.
//
// It is told by the parts of the control plane and tells none of them anything. It keeps
// names and numbers, never an object or a resource, and so neither keys nor tokens.
package history
