// Package telemetry turns Telemetries and the providers of the mesh
// configuration into access loggers, counters and tracing of a listener. It must
// never change where a request goes, or whether it is let through.
package telemetry
