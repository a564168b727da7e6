// Package replicas finds the replicas of the control plane through the API server and reaches
// the debug port of each, through the API server as kubectl port-forward does or by the
// addresses of their pods.
//
// It opens no port of its own and needs no right but those of the user: to list pods, and to
// forward ports of pods or to read the debug port.
package replicas
