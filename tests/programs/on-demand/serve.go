// A file server on the listener that the host hands over: the files of /srv and no others. GET /quit ends it.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// listener is what the host opened. Go's poller wants it not to block.
func listener() (net.Listener, error) {
	fd, err := strconv.Atoi(os.Getenv("LISTEN_FDS_START"))
	if err != nil {
		return nil, fmt.Errorf("the host hands over no listener: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return net.FileListener(os.NewFile(uintptr(fd), "listener"))
}

func main() {
	root, err := os.OpenRoot("/srv")
	if err != nil {
		log.Fatal(err)
	}
	incoming, err := listener()
	if err != nil {
		log.Fatal(err)
	}
	var server http.Server
	ended := make(chan error, 1)
	// Not a ServeMux: that puts paths in order itself, and what gets out of /srv is to be refused by the files.
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What would differ from run to run.
		w.Header()["Date"] = nil
		if r.URL.Path == "/quit" {
			fmt.Fprintln(w, "good bye")
			go func() { ended <- server.Shutdown(context.Background()) }()
			return
		}
		file, err := root.Open(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			http.Error(w, "there is no such file", http.StatusNotFound)
			return
		}
		defer file.Close()
		http.ServeContent(w, r, file.Name(), time.Time{}, file)
	})
	fmt.Println("ready")
	if err := server.Serve(incoming); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	fmt.Println("ended")
}
