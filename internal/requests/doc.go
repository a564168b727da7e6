// Package requests tests what becomes of requests: a file says which requests a mesh gets
// and what is expected of each, and the engine that serves the mesh is asked. It is the
// command "fairway test".
//
// It never sends a request, and never decides by itself where one goes: that is what
// translate makes of the objects, and explain follows it.
package requests
