# Image of fairway: one static binary, no shell, not root. Other architectures:
#   docker buildx build --platform linux/amd64,linux/arm64 .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w -X github.com/fairway-mesh/fairway/internal/version.version=$VERSION" -o /fairway ./cmd/fairway

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /fairway /fairway
ENV PATH=/
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
ENTRYPOINT ["/fairway"]
