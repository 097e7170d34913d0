// What a waPC guest imports from its host, and the two things it exports: its memory and `__guest_call`.
#pragma once
#include <stddef.h>

#define IMPORT(name) __attribute__((import_module("wapc"), import_name(#name))) name
#define EXPORT(name) __attribute__((export_name(#name))) name

// Writes the operation and the payload of this call to the two buffers.
void IMPORT(__guest_request)(char *operation, char *payload);
// Sets the answer of this call.
void IMPORT(__guest_response)(const char *response, size_t len);
// Sets the error of this call.
void IMPORT(__guest_error)(const char *message, size_t len);

// Calls an operation of a binding: 1, and there is a response; or 0, and there is an error.
int IMPORT(__host_call)(const char *binding, size_t binding_len, const char *ns, size_t ns_len,
                        const char *operation, size_t operation_len, const char *payload, size_t len);
size_t IMPORT(__host_response_len)(void);
void IMPORT(__host_response)(char *buffer);
size_t IMPORT(__host_error_len)(void);
void IMPORT(__host_error)(char *buffer);

// Logs a line.
void IMPORT(__console_log)(const char *line, size_t len);
