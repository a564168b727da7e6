package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that this one wraps
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-mesh/fairway/snapshot"
)

// floorServer does the least that any control plane must: for each line of its
// input it sends one encoded virtual host to every stream.
type floorServer struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	mu      sync.Mutex
	streams map[chan []byte]struct{}
}

type encoded []byte

type floorCodec struct{ encoding.CodecV2 }

func (c floorCodec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.(encoded); ok {
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// DeltaAggregatedResources reads what the proxy says and does not care.
func (f *floorServer) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	in := make(chan []byte, 1)
	f.mu.Lock()
	f.streams[in] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.streams, in)
		f.mu.Unlock()
	}()
	go func() {
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
		}
	}()
	for {
		select {
		case b := <-in:
			if err := stream.SendMsg(encoded(b)); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// floorMain is the process of the floor.
func floorMain(bodySize int) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	f := &floorServer{streams: map[chan []byte]struct{}{}}
	// The buffers of discovery.Server.
	s := grpc.NewServer(grpc.ForceServerCodecV2(floorCodec{encoding.GetCodecV2("proto")}), grpc.SharedWriteBuffer(true), grpc.WriteBufferSize(64<<10),
		grpc.ReadBufferSize(32<<10), grpc.StaticStreamWindowSize(1<<20), grpc.StaticConnWindowSize(1<<20), grpc.MaxConcurrentStreams(8))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s, f)
	go func() { _ = s.Serve(l) }()
	fmt.Println(l.Addr())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() == askHeap {
			fmt.Println(liveHeap())
			continue
		}
		body := []byte(strings.Repeat("x", max(bodySize-len(lines.Text()), 0)) + lines.Text())
		b, err := proto.Marshal(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: snapshot.VirtualHost.TypeURL(), Nonce: lines.Text(),
			Resources: []*discoveryv3.Resource{{Name: "floor", Version: lines.Text(), Resource: &anypb.Any{TypeUrl: snapshot.VirtualHost.TypeURL(), Value: body}}}})
		if err != nil {
			return err
		}
		f.mu.Lock()
		for in := range f.streams {
			in <- b
		}
		f.mu.Unlock()
	}
	return nil
}

// askHeap is the line that asks the process of the floor for its live heap.
const askHeap = "heap"

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// floor measures that process with as many streams as the fleet has.
func floor(w *world, bodySize, rounds int) (result, error) {
	res := result{Scenario: "floor", Changes: rounds}
	program, err := os.Executable()
	if err != nil {
		return res, err
	}
	cmd := exec.Command(program, "-floor", strconv.Itoa(bodySize))
	cmd.SysProcAttr, cmd.Stderr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return res, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return res, err
	}
	if err := cmd.Start(); err != nil {
		return res, err
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	lines := bufio.NewReader(out)
	address, err := lines.ReadString('\n')
	if err != nil {
		return res, err
	}
	heap := func() int64 {
		_, _ = io.WriteString(in, askHeap+"\n")
		line, _ := lines.ReadString('\n')
		n, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		return n
	}
	f := newFleet(w, true)
	f.address = strings.TrimSpace(address)
	few := f.proxies[:1] // which makes what is made once
	if err := f.connect(few, false); err != nil {
		return res, err
	}
	defer f.disconnect(f.proxies)
	time.Sleep(500 * time.Millisecond)
	before := heap()
	if err := f.connect(f.proxies[1:], false); err != nil {
		return res, err
	}
	time.Sleep(time.Second + time.Duration(len(f.proxies))*2*time.Millisecond)
	res.Heap = heap()
	res.HeapPerProxy = (res.Heap - before) / int64(max(len(f.proxies)-1, 1))
	f.begin()
	spent := costOf(cmd.Process.Pid)
	for n := range rounds {
		m := mark("floor", 0, n)
		s := f.seek(&sought{typ: snapshot.VirtualHost, mark: []byte(m), want: len(f.proxies)})
		at := time.Now()
		if _, err := io.WriteString(in, m+"\n"); err != nil {
			return res, err
		}
		res.take(f, s, at)
		time.Sleep(50 * time.Millisecond)
	}
	res.count(f, spent, costOf(cmd.Process.Pid))
	res.finish()
	return res, nil
}
