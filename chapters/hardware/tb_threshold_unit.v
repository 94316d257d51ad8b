// Runs a case of n2uq.forward through threshold_unit: reads in_acc.mem and in_thresholds.mem of +given, writes
// out_y.mem into +answers. The channel of an accumulator is its index along axis 1: (i / inner) mod channels.
module tb_threshold_unit;
    parameter  ADDRESS_BITS = 12;
    localparam SIZE = 1 << 17;  // elements of the largest tensor

`include "bench.vh"

    integer count, acc_bits, bits, strict, channels, inner;

    reg [31:0] acc_memory [0:SIZE-1], threshold_memory [0:(1<<ADDRESS_BITS)-1];
    reg [7:0]  y_memory [0:SIZE-1];

    reg                     write = 0, acc_valid = 0;
    reg  [ADDRESS_BITS-1:0] write_address, channel;
    reg  [31:0]             write_threshold, acc;
    wire                    acc_ready, code_valid;
    wire [7:0]              code;

    threshold_unit #(.ADDRESS_BITS(ADDRESS_BITS)) dut (
        .clk(clk), .reset(reset), .write(write), .write_address(write_address), .write_threshold(write_threshold),
        .bits(bits[3:0]), .strict(strict[0]), .acc_ready(acc_ready), .acc_valid(acc_valid), .acc(acc),
        .channel(channel), .code_valid(code_valid), .code(code));

    integer answered = 0;
    always @(posedge clk) if (code_valid) begin
        y_memory[answered] <= code;
        answered <= answered + 1;
    end

    integer i, k, file;
    initial begin
        find_directories;
        count    = plusarg("count");
        acc_bits = plusarg("acc_bits");
        bits     = plusarg("bits");
        strict   = plusarg("strict");
        channels = plusarg("channels");
        inner    = plusarg("inner");
        $readmemh({given, "/in_acc.mem"}, acc_memory, 0, count - 1);
        $readmemh({given, "/in_thresholds.mem"}, threshold_memory, 0, channels * ((1 << bits) - 1) - 1);
        @(negedge clk) reset = 0;
        for (i = 0; i < channels; i = i + 1)
            for (k = 1; k < 1 << bits; k = k + 1) begin
                write = 1;
                write_address = ADDRESS_BITS'((i << bits) + k);
                write_threshold = threshold_memory[i * ((1 << bits) - 1) + k - 1];
                @(negedge clk) write = 0;
            end
        for (i = 0; i < count; i = i + 1) begin
            acc = $signed(acc_memory[i] << (32 - acc_bits)) >>> (32 - acc_bits);
            channel = ADDRESS_BITS'((i / inner) % channels);
            acc_valid = 1;
            while (!acc_ready) @(negedge clk);
            @(negedge clk) acc_valid = 0;
        end
        while (answered < count) @(negedge clk);

        file = opened("out_y");
        for (i = 0; i < count; i = i + 1) put(file, 64'(y_memory[i]), bits);
        $fclose(file);
        $finish;
    end
endmodule
