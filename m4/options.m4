dnl SPDX-License-Identifier: ISC
dnl The switches of configure: developer, sanitizers, coverage, fuzz.

AC_DEFUN([PGTANDEM_OPTIONS], [
AC_ARG_ENABLE([developer],
	[AS_HELP_STRING([--enable-developer], [warnings are errors, debug information])],
	[], [enable_developer=no])
AC_ARG_ENABLE([sanitizers],
	[AS_HELP_STRING([--enable-sanitizers=LIST], [address,undefined or thread])],
	[], [enable_sanitizers=no])
AC_ARG_ENABLE([coverage],
	[AS_HELP_STRING([--enable-coverage], [count the lines that tests run (gcov)])],
	[], [enable_coverage=no])
AC_ARG_ENABLE([fuzz],
	[AS_HELP_STRING([--enable-fuzz], [build the fuzz targets with libFuzzer (clang)])],
	[], [enable_fuzz=no])

MODE_CFLAGS=
MODE_LDFLAGS=

AS_IF([test "$enable_developer" = yes],
	[MODE_CFLAGS="$MODE_CFLAGS -g3 -fno-omit-frame-pointer"
	 AC_DEFINE([PGTANDEM_DEVELOPER], [1], [Define to 1 to fill freed memory and to check more.])])

AS_CASE([$enable_sanitizers],
	[no], [],
	[yes], [enable_sanitizers=address,undefined])
AS_IF([test "$enable_sanitizers" != no], [
	sanitize="-fsanitize=$enable_sanitizers -fno-sanitize-recover=all"
	save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS $sanitize"
	AC_MSG_CHECKING([whether $CC can $sanitize])
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		 AC_MSG_ERROR([the compiler does not know $sanitize])])
	CFLAGS=$save_CFLAGS
	MODE_CFLAGS="$MODE_CFLAGS $sanitize -fno-omit-frame-pointer -g"
	MODE_LDFLAGS="$MODE_LDFLAGS $sanitize"
])
AM_CONDITIONAL([SANITIZE], [test "$enable_sanitizers" != no])

AS_IF([test "$enable_coverage" = yes],
	[MODE_CFLAGS="$MODE_CFLAGS --coverage"
	 MODE_LDFLAGS="$MODE_LDFLAGS --coverage"])

FUZZ_LDFLAGS=
AS_IF([test "$enable_fuzz" = yes], [
	save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -fsanitize=fuzzer-no-link"
	AC_MSG_CHECKING([whether $CC knows libFuzzer])
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		 AC_MSG_ERROR([--enable-fuzz needs clang: ./configure CC=clang --enable-fuzz])])
	CFLAGS=$save_CFLAGS
	MODE_CFLAGS="$MODE_CFLAGS -fsanitize=fuzzer-no-link"
	FUZZ_LDFLAGS="-fsanitize=fuzzer"
])
AM_CONDITIONAL([FUZZ], [test "$enable_fuzz" = yes])

AC_SUBST([MODE_CFLAGS])
AC_SUBST([MODE_LDFLAGS])
AC_SUBST([FUZZ_LDFLAGS])
])

dnl PGTANDEM_WITH(name, NAME, pkg-config module, header, function, libraries): a library that
dnl is used where it is there, unless --without-name; --with-name insists.  It is looked for
dnl without pkg-config, too: Debian 13's pam.pc asks for a package that nothing else needs.
AC_DEFUN([PGTANDEM_WITH], [
AC_ARG_WITH([$1],
	[AS_HELP_STRING([--with-$1], [logins by $2 @<:@if the library is there@:>@])],
	[], [with_$1=auto])
have_$1=no
AS_IF([test "$with_$1" != no],
	[PKG_CHECK_MODULES([$2], [$3], [have_$1=yes],
		[AC_CHECK_HEADER([$4], [AC_CHECK_LIB([$1], [$5], [have_$1=yes; $2_LIBS="$6"], [], [$6])])])
	 AS_IF([test "$have_$1" = yes],
		[AC_DEFINE([HAVE_LIB$2], [1], [Define to 1 for logins by $2.])],
		[AS_IF([test "$with_$1" = yes], [AC_MSG_ERROR([--with-$1: no $3 found])])])])
])
