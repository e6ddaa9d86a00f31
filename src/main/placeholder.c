/* SPDX-License-Identifier: ISC */
/*
 * Stands in for the program until src/main has one.
 */
#include <stdio.h>

int main(void)
{
	fputs("pgtandem " PGTANDEM_VERSION ": nothing here yet\n", stderr);
	return 1;
}
