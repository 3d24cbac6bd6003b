# SPDX-License-Identifier: MIT
# ffmpeg: pictures and sound made, filtered, encoded with several threads and decoded again; the
# checksums of every frame.
quick=1
tracks=ffmpeg
limit=600
need_command ffmpeg ffprobe
version() { ffmpeg -version | head -n 1 | cut -d' ' -f1-3; }

work() {
	local seconds codec rate
	local quiet=(-nostdin -hide_banner -loglevel error -nostats -bitexact)

	seconds=$(amount 8 1)
	step sources ffmpeg "${quiet[@]}" -f lavfi -i "testsrc2=s=960x540:r=25:d=$seconds" -f lavfi \
		-i "sine=f=440:b=4:d=$seconds" -c:v ffv1 -c:a pcm_s16le -flags +bitexact -fflags +bitexact s.mkv
	step frames bash -c 'ffmpeg -nostdin -loglevel error -i s.mkv -f framemd5 - | md5sum'
	for codec in libx264 libx265 libvpx-vp9 mpeg2video mjpeg; do
		# With a bit rate and threads, no two pictures of its mjpeg are the same.
		rate=(-b:v 1M)
		[ $codec != mjpeg ] || rate=(-q:v 4)
		step $codec ffmpeg "${quiet[@]}" -i s.mkv -threads 4 -c:v $codec -x265-params log-level=none:pools=2 \
			"${rate[@]}" -cpu-used 5 -an -flags +bitexact -fflags +bitexact $codec.mkv
		step decoded bash -c 'ffmpeg -nostdin -loglevel error -threads 4 -i "$1.mkv" -f framemd5 - | md5sum' - $codec
		[ -z "$COMPAT_QUICK" ] || break
	done
	for codec in flac aac libmp3lame libopus; do
		step $codec ffmpeg "${quiet[@]}" -i s.mkv -vn -c:a $codec -flags +bitexact -fflags +bitexact a-$codec.mka
		step sound bash -c 'ffmpeg -nostdin -loglevel error -i "a-$1.mka" -f md5 -' - $codec
	done
	step filters bash -c 'ffmpeg -nostdin -loglevel error -i s.mkv -filter_threads 4 -filter_complex \
		"[0:v]split[a][b];[a]scale=480:270:flags=lanczos,hue=s=0.3[c];[b][c]overlay=20:20,gblur=3,rotate=0.2,noise=alls=9:all_seed=5" -f framemd5 - | md5sum'
	step motion bash -c 'ffmpeg -nostdin -loglevel error -i s.mkv -t 0.6 -vf "scale=320:180,minterpolate=fps=50" -f framemd5 - | md5sum'
	step probe ffprobe -v error -show_entries stream=codec_name,width,height,sample_rate,nb_frames -of csv s.mkv
	step stop bash -c 'timeout -s INT 1 ffmpeg -nostdin -loglevel quiet -re -f lavfi -i testsrc2=d=60 -f null -; echo $?'
	exits 1 error ffmpeg -nostdin -hide_banner -loglevel error -i no-such.mkv -f null -
}
