/* SPDX-License-Identifier: MIT */
/*
 * Functions of a program's own that happen to have names of json-c's, as those of jansson and parson do, and those of
 * another version of json-c. The library and its backends call none of them.
 */
#include <stdio.h>
#include <stdlib.h>

#define OWN(name)                                                                                                      \
    void name(void);                                                                                                   \
    void name(void)                                                                                                    \
    {                                                                                                                  \
        fputs("the program's own " #name " was called\n", stderr);                                                     \
        abort();                                                                                                       \
    }

OWN(array_list_add)
OWN(json_object_array_add)
OWN(json_object_array_get_idx)
OWN(json_object_array_length)
OWN(json_object_get)
OWN(json_object_get_array)
OWN(json_object_get_boolean)
OWN(json_object_get_int64)
OWN(json_object_get_object)
OWN(json_object_get_string)
OWN(json_object_get_string_len)
OWN(json_object_get_type)
OWN(json_object_is_type)
OWN(json_object_iter_next)
OWN(json_object_new_array)
OWN(json_object_new_boolean)
OWN(json_object_new_int)
OWN(json_object_new_int64)
OWN(json_object_new_object)
OWN(json_object_new_string)
OWN(json_object_new_string_len)
OWN(json_object_object_add)
OWN(json_object_object_get_ex)
OWN(json_object_object_length)
OWN(json_object_put)
OWN(json_object_to_json_string_ext)
OWN(json_object_to_json_string_length)
OWN(json_tokener_free)
OWN(json_tokener_new_ex)
OWN(json_tokener_parse_ex)
OWN(lh_table_insert)
OWN(lh_table_new)
OWN(printbuf_memappend)
OWN(printbuf_new)
