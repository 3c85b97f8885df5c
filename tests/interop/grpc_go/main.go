// A client and a server of gRPC in Go, with the library's own interoperability cases and more that
// matter to a proxy. grpc_go.py runs them with sidecars in between.
//
//	grpc_go server [-max-age 1s] [-min-time 5s]   prints its address, serves until its input ends
//	grpc_go client -target ADDRESS -case NAME     exits 0 when the case went as it should
//	grpc_go cases                                 the names
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("usage: grpc_go server|client|cases …"))
	}
	switch os.Args[1] {
	case "server":
		serve(os.Args[2:])
	case "client":
		call(os.Args[2:])
	case "cases":
		names := make([]string, 0, len(cases))
		for name := range cases {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			fmt.Println(name)
		}
	default:
		fail(fmt.Errorf("no such command: %s", os.Args[1]))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// ---- The server.

func serve(arguments []string) {
	flags := flag.NewFlagSet("server", flag.ExitOnError)
	maxAge := flags.Duration("max-age", 0, "a connection's age at which the server says GOAWAY")
	minTime := flags.Duration("min-time", 0, "how often a client may PING; 0: the library's five minutes")
	flags.Parse(arguments)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail(err)
	}
	options := []grpc.ServerOption{}
	if *maxAge > 0 {
		options = append(options, grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: *maxAge, MaxConnectionAgeGrace: time.Minute}))
	}
	if *minTime > 0 {
		options = append(options, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: *minTime, PermitWithoutStream: true}))
	}
	server := grpc.NewServer(options...)
	testpb.RegisterTestServiceServer(server, interop.NewTestServer())
	fmt.Println(listener.Addr())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	if err := server.Serve(listener); err != nil {
		fail(err)
	}
}

// ---- The client.

type world struct {
	target     string
	connection *grpc.ClientConn
	client     testpb.TestServiceClient
}

func dial(target string, options ...grpc.DialOption) *grpc.ClientConn {
	options = append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("orders"), grpc.WithNoProxy()}, options...)
	connection, err := grpc.NewClient("passthrough:///"+target, options...)
	if err != nil {
		fail(err)
	}
	return connection
}

func call(arguments []string) {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	target := flags.String("target", "", "address")
	name := flags.String("case", "", "what to do")
	patience := flags.Duration("patience", 2*time.Minute, "how long it may take")
	flags.Parse(arguments)

	run, found := cases[*name]
	if !found {
		fail(fmt.Errorf("no such case: %s", *name))
	}
	ctx, cancel := context.WithTimeout(context.Background(), *patience)
	defer cancel()
	connection := dial(*target)
	defer connection.Close()
	if err := run(ctx, world{*target, connection, testpb.NewTestServiceClient(connection)}); err != nil {
		fail(fmt.Errorf("%s: %w", *name, err))
	}
}

type testCase func(ctx context.Context, w world) error

// The library's own cases end the process when they fail.
func own(run func(context.Context, testpb.TestServiceClient, ...grpc.CallOption)) testCase {
	return func(ctx context.Context, w world) error {
		run(ctx, w.client)
		return nil
	}
}

var cases = map[string]testCase{
	"empty_unary":                   own(interop.DoEmptyUnaryCall),
	"large_unary":                   own(interop.DoLargeUnaryCall),
	"client_streaming":              own(interop.DoClientStreaming),
	"server_streaming":              own(interop.DoServerStreaming),
	"ping_pong":                     own(interop.DoPingPong),
	"empty_stream":                  own(interop.DoEmptyStream),
	"timeout_on_sleeping_server":    own(interop.DoTimeoutOnSleepingServer),
	"cancel_after_begin":            own(interop.DoCancelAfterBegin),
	"cancel_after_first_response":   own(interop.DoCancelAfterFirstResponse),
	"custom_metadata":               own(interop.DoCustomMetadata),
	"status_code_and_message":       own(interop.DoStatusCodeAndMessage),
	"special_status_message":        own(interop.DoSpecialStatusMessage),
	"unimplemented_method":          unimplementedMethod,
	"unimplemented_service":         unimplementedService,
	"two_thousand_unary_calls":      twoThousandUnaryCalls,
	"ping_pong_of_2000_messages":    longPingPong,
	"download_of_200_mb":            download,
	"upload_of_200_mb":              upload,
	"a_hundred_calls_at_once":       manyAtOnce,
	"a_hundred_deadlines":           manyDeadlines,
	"a_hundred_cancellations":       manyCancellations,
	"keepalive_over_a_quiet_stream": keepaliveOverAQuietStream,
	"keepalive_without_a_stream":    keepaliveWithoutAStream,
	"a_quiet_stream":                aQuietStream,
	"calls_for_ten_seconds":         callsForTenSeconds,
}

func unimplementedMethod(ctx context.Context, w world) error {
	interop.DoUnimplementedMethod(ctx, w.connection)
	return nil
}

func unimplementedService(ctx context.Context, w world) error {
	interop.DoUnimplementedService(ctx, testpb.NewUnimplementedServiceClient(w.connection))
	return nil
}

func payload(size int) *testpb.Payload {
	return interop.ClientNewPayload(testpb.PayloadType_COMPRESSABLE, size)
}

func unary(ctx context.Context, w world, size int) error {
	answer, err := w.client.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: int32(size), Payload: payload(size)})
	if err != nil {
		return err
	}
	if got := len(answer.GetPayload().GetBody()); got != size {
		return fmt.Errorf("%d of %d bytes", got, size)
	}
	return nil
}

func twoThousandUnaryCalls(ctx context.Context, w world) error {
	for i := range 2000 {
		if err := unary(ctx, w, 100); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
	}
	return nil
}

func longPingPong(ctx context.Context, w world) error {
	stream, err := w.client.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for i := range 2000 {
		size := 1 + i%1000
		if err := stream.Send(&testpb.StreamingOutputCallRequest{Payload: payload(size),
			ResponseParameters: []*testpb.ResponseParameters{{Size: int32(size)}}}); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		answer, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if got := len(answer.GetPayload().GetBody()); got != size {
			return fmt.Errorf("message %d: %d of %d bytes", i, got, size)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("at the end: %v", err)
	}
	return nil
}

const megabyte = 1 << 20

func download(ctx context.Context, w world) error {
	parameters := make([]*testpb.ResponseParameters, 200)
	for i := range parameters {
		parameters[i] = &testpb.ResponseParameters{Size: megabyte}
	}
	stream, err := w.client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{ResponseParameters: parameters})
	if err != nil {
		return err
	}
	for i := range parameters {
		answer, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if got := len(answer.GetPayload().GetBody()); got != megabyte {
			return fmt.Errorf("message %d: %d bytes", i, got)
		}
	}
	if _, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("at the end: %v", err)
	}
	return nil
}

func upload(ctx context.Context, w world) error {
	stream, err := w.client.StreamingInputCall(ctx)
	if err != nil {
		return err
	}
	for i := range 200 {
		if err := stream.Send(&testpb.StreamingInputCallRequest{Payload: payload(megabyte)}); err != nil {
			_, why := stream.CloseAndRecv()
			return fmt.Errorf("message %d: %w: %w", i, err, why)
		}
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	if got := answer.GetAggregatedPayloadSize(); got != 200*megabyte {
		return fmt.Errorf("%d bytes came", got)
	}
	return nil
}

// A hundred streams, each with a few calls, all at the same time on one connection.
func manyAtOnce(ctx context.Context, w world) error {
	var group sync.WaitGroup
	found := make(chan error, 100)
	for i := range 100 {
		group.Go(func() {
			for range 20 {
				if err := unary(ctx, w, 1+i*100); err != nil {
					found <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(found)
	return <-found
}

// The server takes a second for its first message, the caller gives it a twentieth.
func manyDeadlines(ctx context.Context, w world) error {
	for i := range 100 {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		stream, err := w.client.StreamingOutputCall(short, &testpb.StreamingOutputCallRequest{
			ResponseParameters: []*testpb.ResponseParameters{{Size: 1, IntervalUs: 1_000_000}}})
		if err == nil {
			_, err = stream.Recv()
		}
		cancel()
		if status.Code(err) != codes.DeadlineExceeded {
			return fmt.Errorf("call %d: %v", i, err)
		}
	}
	return unary(ctx, w, 10)
}

func manyCancellations(ctx context.Context, w world) error {
	for i := range 100 {
		given, cancel := context.WithCancel(ctx)
		stream, err := w.client.FullDuplexCall(given)
		if err == nil {
			err = stream.Send(&testpb.StreamingOutputCallRequest{
				ResponseParameters: []*testpb.ResponseParameters{{Size: megabyte / 2}}})
		}
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil {
			cancel()
			return fmt.Errorf("call %d: %w", i, err)
		}
		cancel()
		if _, err = stream.Recv(); status.Code(err) != codes.Canceled {
			return fmt.Errorf("call %d: %v", i, err)
		}
	}
	return unary(ctx, w, 10)
}

// The proxy may ask the server whether it is still there, but not as often as it is told to here: the
// server would end the connection with too_many_pings.
func aQuietStream(ctx context.Context, w world) error {
	return quiet(ctx, w.client, 15*time.Second)
}

// Keepalive as often as this library lets a client have it, over a stream on which nothing happens.
func keepaliveOverAQuietStream(ctx context.Context, w world) error {
	connection := dial(w.target, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}))
	defer connection.Close()
	return quiet(ctx, testpb.NewTestServiceClient(connection), 35*time.Second)
}

// A stream with a message before and after a time in which nothing happens.
func quiet(ctx context.Context, client testpb.TestServiceClient, pause time.Duration) error {
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	ask := func() error {
		if err := stream.Send(&testpb.StreamingOutputCallRequest{
			ResponseParameters: []*testpb.ResponseParameters{{Size: 1}}}); err != nil {
			return err
		}
		_, err := stream.Recv()
		return err
	}
	if err := ask(); err != nil {
		return fmt.Errorf("before the quiet: %w", err)
	}
	time.Sleep(pause)
	if err := ask(); err != nil {
		return fmt.Errorf("after the quiet: %w", err)
	}
	return nil
}

func keepaliveWithoutAStream(ctx context.Context, w world) error {
	connection := dial(w.target, grpc.WithKeepaliveParams(keepalive.ClientParameters{
		Time: 10 * time.Second, Timeout: 2 * time.Second, PermitWithoutStream: true}))
	defer connection.Close()
	quiet := world{w.target, connection, testpb.NewTestServiceClient(connection)}
	if err := unary(ctx, quiet, 10); err != nil {
		return fmt.Errorf("before the quiet: %w", err)
	}
	time.Sleep(25 * time.Second)
	if err := unary(ctx, quiet, 10); err != nil {
		return fmt.Errorf("after the quiet: %w", err)
	}
	return nil
}

// Meant for a server whose connections grow old every second.
func callsForTenSeconds(ctx context.Context, w world) error {
	for end, i := time.Now().Add(10*time.Second), 0; time.Now().Before(end); i++ {
		if err := unary(ctx, w, 1000); err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
	}
	return nil
}
