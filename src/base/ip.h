/* SPDX-License-Identifier: BSD-2-Clause */
/* Client addresses: 16 bytes, IPv4 mapped, as http_request.peer and access records have them. */
#ifndef BASE_IP_H
#define BASE_IP_H

#include <stddef.h>
#include <stdint.h>

#define IP_TEXT_MAX 46 /* bytes of the longest text with its NUL */

/* "192.0.2.1", "2001:db8::1". Returns the length. */
size_t ip_text(const uint8_t addr[16], char out[IP_TEXT_MAX]);

#endif
