dnl SPDX-License-Identifier: ISC
dnl Compiler flags: warnings that are always on, and hardening.

dnl PGTANDEM_TRY_CFLAG(variable, flag...): adds each flag the compiler takes.
AC_DEFUN([PGTANDEM_TRY_CFLAG], [
for flag in $2; do
	AC_MSG_CHECKING([whether $CC knows $flag])
	save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -Werror $flag"
	AC_COMPILE_IFELSE([AC_LANG_SOURCE([int main(void) { return 0; }])],
		[AC_MSG_RESULT([yes]); $1="$$1 $flag"],
		[AC_MSG_RESULT([no])])
	CFLAGS=$save_CFLAGS
done
])

AC_DEFUN([PGTANDEM_TRY_LDFLAG], [
for flag in $2; do
	AC_MSG_CHECKING([whether the linker knows $flag])
	save_LDFLAGS=$LDFLAGS
	LDFLAGS="$LDFLAGS $flag"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes]); $1="$$1 $flag"],
		[AC_MSG_RESULT([no])])
	LDFLAGS=$save_LDFLAGS
done
])

AC_DEFUN([PGTANDEM_WARNINGS], [
WARN_CFLAGS=
PGTANDEM_TRY_CFLAG([WARN_CFLAGS], [-Wall -Wextra -Wshadow -Wconversion dnl
-Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Wvla -Wformat=2])
AS_IF([test "$enable_developer" = yes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])
AC_SUBST([WARN_CFLAGS])
])

AC_DEFUN([PGTANDEM_HARDENING], [
HARDEN_CPPFLAGS=
HARDEN_CFLAGS=
HARDEN_LDFLAGS=
PGTANDEM_TRY_CFLAG([HARDEN_CFLAGS], [-fstack-protector-strong -fPIE])
PGTANDEM_TRY_LDFLAG([HARDEN_LDFLAGS], [-pie -Wl,-z,relro -Wl,-z,now])

# _FORTIFY_SOURCE needs an optimiser, hides findings from the sanitizers, and
# may already be there (Debian's package builds set it).
AS_IF([test "$enable_sanitizers" = no],
	[AS_CASE([" $CPPFLAGS $CFLAGS "],
		[*_FORTIFY_SOURCE*], [],
		[*" -O0 "*], [],
		[*" -O"*], [
			save_CPPFLAGS=$CPPFLAGS
			for level in 3 2; do
				AC_MSG_CHECKING([for -D_FORTIFY_SOURCE=$level])
				CPPFLAGS="$save_CPPFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$level -Werror"
				AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <string.h>]], [])],
					[AC_MSG_RESULT([yes])
					 HARDEN_CPPFLAGS="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$level"
					 break],
					[AC_MSG_RESULT([no])])
			done
			CPPFLAGS=$save_CPPFLAGS])])
pgtandem_hardening="$HARDEN_CPPFLAGS$HARDEN_CFLAGS$HARDEN_LDFLAGS"
AC_SUBST([HARDEN_CPPFLAGS])
AC_SUBST([HARDEN_CFLAGS])
AC_SUBST([HARDEN_LDFLAGS])
])
