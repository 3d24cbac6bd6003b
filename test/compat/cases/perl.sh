# SPDX-License-Identifier: MIT
# perl: hashes, regular expressions, sorts, children, signals, threads, mmap by a module.
quick=1
tracks=perl
need_command perl
version() { perl -e 'printf "perl %vd\n", $^V'; }

work() {
	cat >work.pl <<'PERL'
use strict; use warnings;
use threads; use threads::shared;
use Digest::MD5 qw(md5_hex);
use POSIX ();
my $n = shift;
my %h;
$h{"key $_"} = { n => $_, text => "x" x ($_ % 50) } for 1 .. $n;
my $sum = 0;
$sum += $h{$_}{n} + length $h{$_}{text} for keys %h;
print "sum $sum\n";
my @sorted = sort { $h{$a}{n} % 1009 <=> $h{$b}{n} % 1009 or $a cmp $b } keys %h;
print md5_hex(join ",", @sorted), "\n";
my $text = join " ", map { md5_hex($_) } 1 .. $n / 4;
my $count = () = $text =~ /([0-9a-f])\1{2}/g;
print "repeats $count\n";
delete $h{$_} for @sorted[0 .. $n / 2];
print scalar(keys %h), " keys left\n";
for my $i (1 .. 20) {
	my $pid = fork // die;
	if (!$pid) { $h{$_}{n} = 0 for @sorted[-1000 .. -1]; POSIX::_exit($i + $h{$sorted[-1]}{n}) }
	waitpid $pid, 0;
	print "child $i: ", $? >> 8, "\n" if $? >> 8 != $i;
}
my $untouched = 0;
$untouched += $h{$_}{n} for @sorted[-1000 .. -1];
print "untouched $untouched\n";
my $total :shared = 0;
my @threads = map { my $t = $_; threads->create(sub { my @a = map { $_ * $t } 1 .. 50000;
	my $s = 0; $s += $_ for @a; lock $total; $total += $s; $s }) } 1 .. 4;
print "thread ", $_->join, "\n" for @threads;
print "total $total\n";
$SIG{ALRM} = sub { die "alarm\n" };
eval { alarm 1; select undef, undef, undef, 10; };
print "interrupted: $@";
open my $pipe, "-|", "seq 1 100000 | md5sum" or die;
print <$pipe>;
close $pipe;
my $block = "\0" x (48 << 20);
substr($block, $_ << 12, 4) = pack "N", $_ for 0 .. (48 << 8) - 1;
sleep 1;
print md5_hex($block), "\n";
die "on purpose\n";
PERL
	perl work.pl "$(amount 300000 60000)"
}
