package registry

// Host is a name of the mesh with all services that declare it.
type Host struct {
	Name      string
	Services  []*Service     // Kubernetes first, then by age
	Endpoints []*EndpointSet // of the service at the same place
}

// Add adds a service that declares the host, and its endpoints.
func (h *Host) Add(s *Service, e *EndpointSet) {
	h.Services = append(h.Services, s)
	h.Endpoints = append(h.Endpoints, e)
}
