/* SPDX-License-Identifier: ISC */
/*
 * The test program of a folder that has no tests yet: "skipped", says the
 * automake test driver of exit code 77.
 */

int main(void)
{
	return 77;
}
