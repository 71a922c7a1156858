/* SPDX-License-Identifier: MIT */
/* The numbers of what the library and process 1 of a sandbox say to each other. Without GLib, which process 1 has not. */
#ifndef DSB_COMMON_PID1_PROTOCOL_H
#define DSB_COMMON_PID1_PROTOCOL_H

/** The version of guest/PROTOCOL.md, which is the contract; raised when a frame changes. Both sides refuse another one. */
#define DSB_PROTOCOL 7
#define DSB_PROTOCOL_QUOTED(number) #number
#define DSB_PROTOCOL_QUOTE(number) DSB_PROTOCOL_QUOTED(number)
#define DSB_PROTOCOL_TEXT DSB_PROTOCOL_QUOTE(DSB_PROTOCOL)

enum dsb_frame_type {
    DSB_FRAME_HELLO = 1,
    DSB_FRAME_CONFIG = 2,
    DSB_FRAME_EXEC = 3,
    DSB_FRAME_STDIN = 4,
    DSB_FRAME_STDOUT = 5,
    DSB_FRAME_STDERR = 6,
    DSB_FRAME_DONE = 7,
    DSB_FRAME_ACK = 8,
    DSB_FRAME_CANCEL = 9,
    DSB_FRAME_FAILURE = 10,
    DSB_FRAME_REPORT = 11,
    DSB_FRAME_READY = 12,
    DSB_FRAME_CONTROL = 13,
    DSB_FRAME_ANSWER = 14,
    DSB_FRAME_BACKGROUND = 15,
    DSB_FRAME_DRAWING = 16,
    DSB_FRAME_CLAIM = 17,
    DSB_FRAME_TAIL = 18,
    DSB_FRAME_WINDOW = 19,
    DSB_FRAME_TOOLS = 20,
    DSB_FRAME_CALL = 21,
    DSB_FRAME_RETURN = 22,
    DSB_FRAME_RETURNED = 23,
};

#define DSB_FRAME_HEADER 9
#define DSB_FRAME_MAX (16u << 20)        /**< bytes of a payload to the host; to process 1 of exec and return */
#define DSB_FRAME_MAX_CONTROL (1u << 20) /**< to process 1 of all others */

/* --- commands: the payload of config, exec and control --- */

#define DSB_COMMAND_HEAD 48 /* u32 protocol, flags, arguments, variables; u64 numbers[4] */
#define DSB_COMMAND_NUMBERS 4
/* What process 1 takes, at most: arguments, variables, bytes of a name. */
#define DSB_COMMAND_ARGUMENTS 65536u
#define DSB_COMMAND_VARIABLES 1024u
#define DSB_COMMAND_NAME 4096u

/* Flags. */
#define DSB_CONFIG_SESSION 1u
#define DSB_CONFIG_CHECKPOINT 2u
#define DSB_CONFIG_CHECKPOINT_IDLE 4u
#define DSB_CONFIG_WAITS 8u
#define DSB_CONFIG_PROGRAM 16u
#define DSB_EXEC_OUTPUT_KILL 1u
#define DSB_EXEC_OUTPUT_KEEP 2u
#define DSB_EXEC_PROGRAM 4u
#define DSB_EXEC_TERMINAL 8u
#define DSB_EXEC_CALLS_STOP_CLOCK 16u

/** What the numbers of a config are. */
enum dsb_config_number { DSB_CONFIG_IDLE_MS, DSB_CONFIG_LIFE_MS, DSB_CONFIG_RESULTS_LIMIT, DSB_CONFIG_MEMORY };
/** Of an exec. */
enum dsb_exec_number { DSB_EXEC_TIMEOUT_MS, DSB_EXEC_GRACE_MS, DSB_EXEC_OUTPUT_LIMIT, DSB_EXEC_WINDOW };
/** Of a control. */
enum dsb_control_number { DSB_CONTROL_TIMEOUT_MS };

/* --- calls of tools --- */

#define DSB_TOOL_NAME 64               /**< bytes of a tool's name, at most */
#define DSB_CALLS_AT_ONCE 64           /**< process 1 has as many connections */
#define DSB_CALL_ARGUMENTS (1u << 20)  /**< bytes of a call's arguments, at most */

#endif
