# SPDX-License-Identifier: MIT
# imagemagick: images made, blurred, turned, quantised and written in several formats; threads.
quick=1
tracks='convert|compare|identify|montage'
limit=300
need_command convert-im6.q16
version() { convert-im6.q16 --version | head -n 1 | cut -d' ' -f2-4; }

work() {
	local size

	size=$(amount 1400 500)
	export MAGICK_THREAD_LIMIT=4
	step plasma convert-im6.q16 -seed 7 -size "${size}x$size" plasma:fractal a.miff
	step gradient convert-im6.q16 -size "${size}x$size" radial-gradient:red-blue b.miff
	step signatures identify-im6.q16 -format '%f %wx%h %# %k\n' a.miff b.miff
	step blur convert-im6.q16 a.miff -gaussian-blur 0x6 -unsharp 0x2 c.miff
	step turn convert-im6.q16 a.miff -rotate 33 -distort Barrel '0.1 0 0 0.9' -resize 70% d.miff
	step compose convert-im6.q16 a.miff b.miff -compose Multiply -composite -colors 64 e.miff
	step fourier convert-im6.q16 a.miff -resize 256x256! -statistic Median 9x9 -edge 2 f.miff
	step morph convert-im6.q16 a.miff b.miff -resize 25% -morph 8 -append g.miff
	for format in png jpg tiff gif bmp ppm; do
		step $format convert-im6.q16 c.miff -strip -define png:exclude-chunks=date,time out.$format
		step read identify-im6.q16 -format '%m %wx%h %#\n' out.$format
	done
	step all identify-im6.q16 -format '%f %wx%h %#\n' c.miff d.miff e.miff f.miff g.miff
	exits 1 compare compare-im6.q16 -metric RMSE c.miff out.jpg null:
	step mapped convert-im6.q16 -limit memory 1MiB -limit map 200MiB a.miff -resize 150% -blur 0x3 -format '%#\n' info:
	step disk convert-im6.q16 -limit memory 1MiB -limit map 1MiB a.miff -flip -format '%#\n' info:
	exits 1 error identify-im6.q16 no-such.png
}
