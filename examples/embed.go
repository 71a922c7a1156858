// SPDX-License-Identifier: MIT

// Runs a line of Python and prints the answer, from Go: CGO_ENABLED=1 go build embed.go
package main

/*
#cgo pkg-config: dsandbox
#include <dsandbox/dsandbox.h>
#include <stdlib.h>
// Macros that begin a structure are C's own.
static struct dsb_run_options usual(void) { return (struct dsb_run_options) DSB_RUN_OPTIONS_INIT; }
static struct dsb_request empty(void) { return (struct dsb_request) DSB_REQUEST_INIT; }
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

// A C string of an environment variable; nil, which means "what there is", without it.
func fromEnv(name string) *C.char {
	if value := os.Getenv(name); value != "" {
		return C.CString(value)
	}
	return nil
}

func main() {
	code := "print(6 * 7)"
	if len(os.Args) > 1 {
		code = os.Args[1]
	}
	options, request := C.usual(), C.empty()
	options.backend, options.endpoint = fromEnv("DSB_BACKEND"), fromEnv("DSB_HOST")
	options.image, options.base_dir = fromEnv("DSB_IMAGE"), fromEnv("DSB_BASE_DIR")
	request.code, request.code_size = C.CString(code), C.gsize(len(code))

	result := C.dsb_run(nil, &options, &request)
	var size C.gsize
	output := C.dsb_result_output(result, 1, &size)
	os.Stdout.Write(C.GoBytes(unsafe.Pointer(output), C.int(size)))
	if failure := C.dsb_result_failure(result); failure != nil {
		fmt.Fprintln(os.Stderr, "nothing ran:", C.GoString((*C.char)(failure.message)))
	} else if name := C.dsb_result_error_name(result); name != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", C.GoString(name), C.GoString(C.dsb_result_error_value(result)))
	}
	status := C.dsb_result_exit_status(result)
	C.dsb_result_free(result)
	os.Exit(int(status))
}
