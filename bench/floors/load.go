package floors

import (
	"fmt"
	"io"
	"net"
)

// load is the other process: what makes the server work.
func load(s Spec, addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return fmt.Errorf("floor's load: %w", err)
	}
	defer c.Close()
	switch s.Kind {
	case Fetch:
		err = loadFetch(s, c.(*net.TCPConn))
	case Produce:
		err = loadProduce(s, c)
	case RoundTrip:
		b := make([]byte, requestBytes)
		for range s.Count {
			if _, err = io.ReadFull(c, b); err != nil {
				break
			}
			if _, err = c.Write(b); err != nil {
				break
			}
		}
	default:
		err = fmt.Errorf("%s has none", s.Kind)
	}
	if err != nil {
		return fmt.Errorf("floor's load: %w", err)
	}
	return nil
}
